#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "learner/data/schema.h"

namespace millrace {

/// Rows of embedding tables are named by texts: a categorical value's own, a bucket's number, and
/// for a cross a JSON object of its parts' texts, in their order: {"user":"u1","item":"7"}.

/// The name of a cross's row; nothing where a part has no value. `parts`: by the parts' features.
std::optional<std::string> cross_name(const Schema& schema, const Cross& cross,
                                      const std::map<int, std::string>& parts);

/// The key of a cross's row, from the texts of its parts. Requires: `parts` has all of them.
std::uint64_t cross_key(const Schema& schema, const Cross& cross,
                        const std::map<int, std::string>& parts);

/// The key of the row of this name in one of Schema::tables. A JSON object of a cross's parts names
/// that cross's row where the cross's rows are in this table; every other text is a plain value.
std::uint64_t key_of_name(const Schema& schema, int table, std::string_view name);

}  // namespace millrace
