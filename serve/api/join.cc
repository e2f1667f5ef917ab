#include "serve/api/join.h"

#include <charconv>

#include "serve/http/respond.h"

namespace millrace {

std::optional<std::string> impression_id_in(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  std::string id;
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] != '%') {
      id += path[at];
      continue;
    }
    if (at + 2 >= path.size()) return std::nullopt;
    unsigned char byte = 0;
    const char* first = path.data() + at + 1;
    const auto [end, error] = std::from_chars(first, first + 2, byte, 16);
    if (error != std::errc{} || end != first + 2) return std::nullopt;
    id += static_cast<char>(byte);
    at += 2;
  }
  return id.empty() ? std::nullopt : std::optional(std::move(id));
}

std::atomic<std::uint64_t>& count_of(ServeProbe& probe, JoinSilence::Why why) {
  return probe.join_questions[1 + static_cast<std::size_t>(why)];
}

Answer answer_join(const ServeParts& parts, const Request& request, ServeProbe& probe) {
  const auto id = impression_id_in(request.path);
  if (!id) {
    return error_answer(400, "the path does not name an impression: percent-encode its id",
                        request.id);
  }
  if (!parts.join) return error_answer(503, "nothing is joined here", request.id);
  const JoinAnswer<std::string> found = parts.join(*id);
  auto& count = found ? probe.join_questions[0] : count_of(probe, found.error().why);
  count.fetch_add(1, std::memory_order_relaxed);
  if (!found) {
    Answer answer =
        error_answer(503, "no answer from the join: " + found.error().message, request.id);
    answer.retry_after_seconds = 1;
    return answer;
  }
  if (!*found) {
    return error_answer(404,
                        "no impression of this id waits, and none was finished or refused lately; "
                        "what was before the start is not remembered",
                        request.id);
  }
  Answer answer;
  answer.body = **found;
  return answer;
}

}  // namespace millrace
