#pragma once

#include <memory>
#include <optional>
#include <string>

#include "learner/evaluate/figures.h"
#include "learner/train/report.h"
#include "serve/http/json_text.h"
#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// GET /v1/gates: for each task with a gate the mean, deviation, zeros and dead units of each
/// expert, the mixture's entropy, and the alarm (evaluate/gate_watch.h).
/// GET /v1/importance: for each feature and task its importance, and the ids that add up to most
/// (evaluate/importance.h). With `?feature=F&value=V` also the key of that value, and whether it is
/// known: the weights that are served have a row for it; 404 where F is no categorical feature.
/// GET /v1/metrics-history: for each task how its metrics went (evaluate/history.h).
///
/// All are of the champion, or of `?model=NAME`; 404 where there is no such model. What they tell
/// is what the trainer published last: no question waits for it. Undefined figures are null.
Answer answer_gates(const ServeParts& parts, const Request& request);
Answer answer_importance(const ServeParts& parts, const Request& request);
Answer answer_history(const ServeParts& parts, const Request& request);

/// The report of the model that the request asks for, or the answer that there is none.
Result<TrainerReport, Answer> report_of(const ServeParts& parts, const Request& request);

/// What answers by the name of a model; null where nothing does.
std::shared_ptr<const ServingModel> serving_of(const ServeParts& parts, const std::string& model);

/// The value that was asked for.
struct AskedValue {
  std::string key;
  bool known = false;  ///< It has a row.
};

/// The bodies: JSON objects with `model`.
std::string print_gates(const TrainerReport& report);
std::string print_importance(const TrainerReport& report,
                             const std::optional<AskedValue>& asked = {});
std::string print_history(const TrainerReport& report);

/// The keys of figures, into an open object.
void write_figures(JsonWriter& json, const Figures& figures, bool binary);
/// The keys `gauc`, `exact_auc`, `spans` and `slices` of an output, into an open object.
void write_more(JsonWriter& json, const OutputReport& output, bool binary);
/// The member `by_division`, of tasks that have it.
void write_division(JsonWriter& json, const TaskReport& task);
/// The member `recalibrated`, of tasks that are: the line and the figures of what was served.
void write_recalibrated(JsonWriter& json, const TaskReport& task);
/// The keys `composite` and `business` of a model, into an open object.
void write_business(JsonWriter& json, const TrainerReport& report);

}  // namespace millrace
