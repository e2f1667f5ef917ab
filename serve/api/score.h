#pragma once

#include <vector>

#include "learner/publish/scorer.h"
#include "serve/api/score_request.h"
#include "serve/http/message.h"
#include "serve/options.h"
#include "serve/server.h"

namespace millrace {

/// POST /v1/score and /v1/rank: reads a request, scores it by one version, applies the formula and
/// writes the answer. Memory: reused between requests. Threads: one handler per thread.
class ScoreHandler {
 public:
  /// Borrows all three.
  ScoreHandler(const ServeOptions& options, const ServeParts& parts, ServeProbe& probe);

  /// `ranks`: sorted by score, best first, not finite ones last, ties in the request's order; and
  /// at most `k` of them.
  Answer answer(bool ranks, Request& request);

 private:
  void apply_formula();
  void order(bool ranks);
  std::string write() const;

  const ServeParts& parts_;
  ServeProbe& probe_;
  ScoreRequestReader reader_;
  Scorer scorer_;
  std::vector<std::string> task_keys_;  // `"ctr":`, as JSON

  // Of the request at hand.
  ScoreRequest request_;
  Scores scores_;
  std::vector<double> fused_;  // [rows]
  std::vector<int> order_;     // rows, as they are answered
};

}  // namespace millrace
