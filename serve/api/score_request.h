#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// The body of /v1/score and /v1/rank, encoded for the scorer. Reusable.
struct ScoreRequest {
  Batch context;     ///< One row.
  Batch candidates;  ///< One row a candidate, in their order; those features that a candidate does
                     ///< not have are the context's, where it has them.
  std::vector<std::uint8_t> answers_task;  ///< By task: whether the answer holds it.
  std::optional<std::uint64_t> most;       ///< `k`: of a ranking, only so many.
  std::uint64_t unknown_names = 0;         ///< Fields that are no feature; ignored.

  /// The candidate's id as JSON, as it came; `null` if absent.
  std::string_view id(int candidate) const;

  std::string ids;                   ///< All of them, one after another,
  std::vector<std::size_t> id_ends;  ///< and where each ends.
};

/// Why a body is refused: the status, what was wrong where, and what was expected.
struct RequestFault {
  int status = 400;
  std::string message;
  int candidate = -1;   ///< The candidate it lies in, or −1.
  std::string feature;  ///< The feature whose value it is, or empty.
};

/// Reads bodies in one pass; one code with the events' reads the features, so that what was learned
/// is what is asked for. Of a repeated name the later value counts; null counts as absent.
/// Memory: reused, about the size of the largest body. Threads: one reader per thread.
class ScoreRequestReader {
 public:
  /// Borrows `schema`. More candidates than `max_candidates` are a fault.
  ScoreRequestReader(const Schema& schema, int max_candidates);
  ~ScoreRequestReader();

  /// Overwrites `request`. `body` may grow in capacity, as the parser wants room behind it; its
  /// text stays. `ranks`: whether `k` is read. After a fault `request` holds nothing of use.
  Result<Ok, RequestFault> read(std::string& body, bool ranks, ScoreRequest& request);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
