#pragma once

#include <string>

#include "learner/train/report.h"
#include "learner/train/trainers.h"
#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// GET /v1/tasks, of the champion or of `?model=NAME`: the composite, the business figures, and for
/// each task its metrics (in the form of the report of `millrace replay`, with the window beside),
/// the balancer's weight, the last loss and the share of rows with its label. Undefined figures are
/// null.
Answer answer_tasks(const ServeParts& parts, const Request& request);

/// The body of that answer, of the champion; of several models `all` has each, and the twins.
/// `version` is empty before the first one.
std::string print_tasks(const TrainerReport& report, const std::string& version,
                        const TrainerReports& all);

}  // namespace millrace
