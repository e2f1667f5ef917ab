#include "ops/metrics/relations.h"

#include <algorithm>
#include <cmath>
#include <string_view>
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
  struct Matrix {
    std::string_view name;
    const std::vector<double>& values;
    std::string_view relation = {};  // of the learned ones
  };
  constexpr std::string_view kLearned = "millrace_task_relation_ratio";
  const Matrix matrices[] = {
      {"millrace_task_gradient_cosine", relations.gradient_cosine},
      {"millrace_task_conflict_ratio", relations.conflict_rate},
      {"millrace_task_label_correlation", relations.label_correlation},
      {"millrace_task_mutual_information_nats", relations.mutual_information},
      {"millrace_task_representation_similarity", relations.representation_similarity},
      {kLearned, relations.positive, "positive"},
      {kLearned, relations.negative, "negative"},
      {kLearned, relations.neutral, "neutral"}};
  const std::size_t shown = std::min(T, kTasksWithPairs);
  for (const Matrix& matrix : matrices) {
    for (std::size_t i = 0; i < shown; ++i) {
      for (std::size_t j = i + 1; j < shown; ++j) {
        const double value = matrix.values[i * T + j];
        if (std::isnan(value)) continue;
        const std::string_view task = relations.tasks[i], other = relations.tasks[j];
        if (matrix.relation.empty()) {
          out.add(matrix.name, {{"model", report.model}, {"task", task}, {"other", other}}, value);
        } else {
          out.add(matrix.name,
                  {{"model", report.model},
                   {"task", task},
                   {"other", other},
                   {"relation", matrix.relation}},
                  value);
        }
      }
    }
  }
}

}  // namespace millrace
