// Heads of HTTP requests, before Beast sees them: the same verdict however the bytes arrive, and a
// head that passes is what RFC 9112 allows and nothing else.
#include <optional>

#include "learner/base/check.h"
#include "serve/api/join.h"
#include "serve/http/head.h"
#include "serve/http/router.h"
#include "tests/fuzz/target.h"

namespace millrace {
namespace {

using State = HeadScanner::State;

State scan_in_steps(std::string_view text, std::size_t step, HeadScanner& scanner) {
  State state = State::kMore;
  for (std::size_t n = 0; state == State::kMore && n < text.size();) {
    n = std::min(text.size(), n + step);
    state = scanner.scan(text.substr(0, n));
  }
  return state;
}

void check_head(std::string_view bytes) {
  // An empty line alone ends a head, too, whose first line is missing.
  MILLRACE_CHECK(bytes.ends_with("\r\n\r\n") || bytes == "\r\n");
  MILLRACE_CHECK(bytes.size() <= kMostHeadBytes);
  Head head;
  const HeadVerdict verdict = read_head(bytes, head);
  fuzz_counts.add(verdict.status == 0);
  if (verdict.status != 0) {
    MILLRACE_CHECK(400 <= verdict.status && verdict.status < 600 && !verdict.message.empty());
    return;
  }
  MILLRACE_CHECK(!head.method.empty() && !head.target.empty());
  MILLRACE_CHECK(head.fields.size() <= static_cast<std::size_t>(kMostHeadFields));
  MILLRACE_CHECK(head.count("host") == 1 || head.minor_version == 0);
  MILLRACE_CHECK(head.count("content-length") + head.count("transfer-encoding") <= 1);
  MILLRACE_CHECK(has_body(head) || content_length(head) == 0);
  for (const Head::Field& field : head.fields) {
    MILLRACE_CHECK(!field.name.empty());
    for (const char c : field.value) {
      MILLRACE_CHECK(static_cast<unsigned char>(c) >= ' ' || c == '\t');
    }
  }
  const std::string_view path = path_of(head.target);
  MILLRACE_CHECK(path.size() <= head.target.size());
  const RouteMatch match = find_route(head.method, path);
  if (match.line == nullptr) return;
  if (match.line->route == Route::kJoin) {
    const std::optional<std::string> id = impression_id_in(path);
    MILLRACE_CHECK(!id || (!id->empty() && id->size() <= path.size()));
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  const std::string_view text = fuzz_text(data, size);
  HeadScanner whole;
  const State state = text.empty() ? State::kMore : whole.scan(text);
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}}) {
    HeadScanner scanner;
    MILLRACE_CHECK(scan_in_steps(text, step, scanner) == state);
    MILLRACE_CHECK(scanner.status() == whole.status());
    if (state == State::kComplete) MILLRACE_CHECK(scanner.head_bytes() == whole.head_bytes());
  }
  if (state == State::kComplete) {
    check_head(text.substr(0, whole.head_bytes()));
  } else {
    MILLRACE_CHECK((state == State::kRefused) == (whole.status() != 0));
    fuzz_counts.add(false);
  }
  return 0;
}
