#pragma once

#include <string>

#include "learner/train/report.h"
#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// GET /v1/relations: what the tasks have to do with each other, measured and learned. Matrices are
/// lists of rows in the order of `tasks`; what is not known is null. Empty with one task, or where
/// relations are never measured (relations.every: 0). Of the champion, or of `?model=NAME`; 404
/// where there is no such model.
Answer answer_relations(const ServeParts& parts, const Request& request);

/// The body of that answer.
std::string print_relations(const TrainerReport& report);

}  // namespace millrace
