#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// GET /v1/join/{impression_id}: what the join knows of one impression. 404 where that is nothing,
/// 400 for an id that is not properly percent-encoded, 503 where the join gave no answer. Counts
/// what became of the question.
Answer answer_join(const ServeParts& parts, const Request& request, ServeProbe& probe);

/// The count of questions that had no answer for this reason.
std::atomic<std::uint64_t>& count_of(ServeProbe& probe, JoinSilence::Why why);

/// The id that the last part of this path names, its percent-encoding undone; nothing where that is
/// broken or the id is empty.
std::optional<std::string> impression_id_in(std::string_view path);

}  // namespace millrace
