#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ops/config/config.h"

namespace millrace {

/// What a configuration means, for a reader: the events and how long their outcomes count, what
/// each task is trained on and when its label is decided, the size of the model, and the memory
/// that all of it takes at most (memory.h; `rows`: with so many in each table). Several lines, as
/// `check-config` prints them.
std::string explain_config(const Config& config, std::optional<std::int64_t> rows = {});

/// Bytes for a reader: "1.5 GiB", "12 KiB".
std::string rough_bytes(double bytes);

}  // namespace millrace
