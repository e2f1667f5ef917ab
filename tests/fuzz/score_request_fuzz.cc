// Bodies of /v1/score and /v1/rank: whole batches of this schema, or a fault that says what is
// wrong. The first byte says which of the two is asked for.
#include "ingest/encode/json_check.h"
#include "learner/base/check.h"
#include "serve/api/score_request.h"
#include "tests/fuzz/target.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

constexpr int kMostCandidates = 20;

void check_batch(const Schema& schema, const Batch& batch, int rows) {
  const auto n = static_cast<std::size_t>(rows);
  MILLRACE_CHECK(batch.rows == rows);
  MILLRACE_CHECK(batch.columns.size() == schema.key_features().size());
  for (const KeyColumn& column : batch.columns) {
    if (column.ends.empty()) {
      MILLRACE_CHECK(column.keys.size() == n);
      continue;
    }
    MILLRACE_CHECK(column.ends.size() == n);
    std::uint32_t last = 0;
    for (const std::uint32_t end : column.ends) {
      MILLRACE_CHECK(last <= end);
      last = end;
    }
    MILLRACE_CHECK(last == column.keys.size());
  }
  MILLRACE_CHECK(batch.numeric.size() == n);    // price
  MILLRACE_CHECK(batch.dense.size() == 8 * n);  // taste
}

void check(const Schema& schema, ScoreRequestReader& reader, std::string_view text) {
  static ScoreRequest request;
  const bool ranks = !text.empty() && (text.front() & 1) != 0;
  std::string body(text.substr(text.empty() ? 0 : 1));
  const std::string before = body;
  const auto read = reader.read(body, ranks, request);
  MILLRACE_CHECK(body == before);
  fuzz_counts.add(bool{read});
  if (!read) {
    const RequestFault& fault = read.error();
    MILLRACE_CHECK(fault.status == 400 || fault.status == 501);
    MILLRACE_CHECK(!fault.message.empty());
    MILLRACE_CHECK(-1 <= fault.candidate && fault.candidate <= kMostCandidates);
    return;
  }
  MILLRACE_CHECK(!json_fault(body));
  const int rows = request.candidates.rows;
  MILLRACE_CHECK(0 <= rows && rows <= kMostCandidates);
  check_batch(schema, request.context, 1);
  check_batch(schema, request.candidates, rows);
  MILLRACE_CHECK(request.id_ends.size() == static_cast<std::size_t>(rows));
  for (int i = 0; i < rows; ++i) MILLRACE_CHECK(!json_fault(request.id(i)));
  MILLRACE_CHECK(request.answers_task.size() == schema.tasks().size());
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const millrace::Schema schema = millrace::shop_schema();
  static millrace::ScoreRequestReader reader(schema, millrace::kMostCandidates);
  millrace::check(schema, reader, millrace::fuzz_text(data, size));
  return 0;
}
