#pragma once

#include "learner/train/report.h"
#include "ops/metrics/families.h"

namespace millrace {

/// Tasks whose pairs have series of their own: the first ones of the configuration. Those of all
/// are in /v1/relations.
inline constexpr std::size_t kTasksWithPairs = 16;

/// The relations of a model's tasks; what is not known is absent.
void add_relations(const TrainerReport& report, MetricFamilies& out);

}  // namespace millrace
