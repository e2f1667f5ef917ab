#include "ops/metrics/relations.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

void add_relations(const TrainerReport& report, MetricFamilies& out) {
  const RelationReport& relations = report.relations;
  const std::size_t T = relations.tasks.size();
  for (std::size_t k = 0; k < T; ++k) {
    const auto add = [&](std::string_view name, double value) {
      if (std::isnan(value)) return;
      out.add(name, {{"model", report.model}, {"task", relations.tasks[k]}}, value);
    };
    add("millrace_task_gradient_norm", relations.gradient_norm[k]);
    add("millrace_task_similarity", relations.similarity[k]);
  }
  const std::pair<std::string_view, const std::vector<double>*> matrices[] = {
      {"millrace_task_gradient_cosine", &relations.gradient_cosine},
      {"millrace_task_conflict_ratio", &relations.conflict_rate},
      {"millrace_task_label_correlation", &relations.label_correlation},
      {"millrace_task_mutual_information_nats", &relations.mutual_information},
      {"millrace_task_representation_similarity", &relations.representation_similarity}};
  const std::size_t shown = std::min(T, kTasksWithPairs);
  for (const auto& [name, matrix] : matrices) {
    for (std::size_t i = 0; i < shown; ++i) {
      for (std::size_t j = i + 1; j < shown; ++j) {
        const double value = (*matrix)[i * T + j];
        if (std::isnan(value)) continue;
        out.add(
            name,
            {{"model", report.model}, {"task", relations.tasks[i]}, {"other", relations.tasks[j]}},
            value);
      }
    }
  }
}

}  // namespace millrace
