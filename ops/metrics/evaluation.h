#pragma once

#include <string_view>

#include "learner/train/report.h"
#include "ops/metrics/families.h"

namespace millrace {

/// Adds the metrics of one output of a task (`output`: own, or entire): figures by window and
/// slice, and the AUC within users. What is undefined is absent.
void add_output(std::string_view model, std::string_view task, std::string_view output,
                const OutputReport& report, MetricFamilies& out);

/// Adds what a task's rate would be by division (evaluate/division.h).
void add_division(std::string_view model, std::string_view task, const DivisionReport& report,
                  MetricFamilies& out);

/// Adds the composite, the figures of the business, gates and importance of a model.
void add_evaluation(const TrainerReport& report, MetricFamilies& out);

}  // namespace millrace
