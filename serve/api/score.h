#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "learner/publish/scorer.h"
#include "serve/api/score_request.h"
#include "serve/http/message.h"
#include "serve/options.h"
#include "serve/server.h"

namespace millrace {

/// POST /v1/score and /v1/rank: reads a request, scores it by one version of the champion or of the
/// model that ?model= names, applies the formula and writes the answer. Tasks that a model does not
/// have are not in its answer, and a formula that needs them is null. Memory: reused between
/// requests; a scorer for each model that was named. Threads: one handler per thread.
class ScoreHandler {
 public:
  /// Borrows all three.
  ScoreHandler(const ServeOptions& options, const ServeParts& parts, ServeProbe& probe);

  /// `ranks`: sorted by score, best first, not finite ones last, ties in the request's order; and
  /// at most `k` of them.
  Answer answer(bool ranks, Request& request);

 private:
  /// What serves the model that the request names; error: there is none, with the names that are.
  struct Served {
    std::shared_ptr<const ServingModel> model;
    std::string name;  ///< Empty: the champion.
  };
  Result<Served, Answer> served(const Request& request) const;
  Answer no_model(const std::string& name, const std::string& champion,
                  const std::string& request_id) const;
  void score_by(const Served& served);
  void apply_formula();
  void order(bool ranks);
  std::string write() const;

  const ServeParts& parts_;
  ServeProbe& probe_;
  ScoreRequestReader reader_;
  Scorer scorer_;
  std::map<std::string, std::unique_ptr<Scorer>> scorers_;  // of models that were named
  std::vector<std::string> task_keys_;                      // `"ctr":`, as JSON

  // Of the request at hand.
  ScoreRequest request_;
  std::vector<std::uint8_t> has_task_;  // by task: whether the model that scores has it
  Scores scores_;
  std::vector<double> fused_;  // [rows]
  std::vector<int> order_;     // rows, as they are answered
};

}  // namespace millrace
