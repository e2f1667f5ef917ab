#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "learner/evaluate/comparison.h"
#include "learner/train/trainers.h"

namespace millrace {

/// What every model of a stream says of every task, as it is said. Memory: a ComparedOutput each.
/// Threads: models are observed beside each other; everything else, one at a time.
class Recorder {
 public:
  /// `most_scored_rows`: of each output, as ComparedOutput has it.
  Recorder(const std::vector<ModelPlan>& plans, std::size_t most_scored_rows) {
    for (const ModelPlan& plan : plans) {
      auto& of_model = outputs_.emplace_back();
      for (const int task : plan.projection.tasks()) {
        const std::size_t place = static_cast<std::size_t>(task);
        if (of_model.size() <= place) of_model.resize(place + 1);
        const std::size_t own = static_cast<std::size_t>(
            std::find(plan.projection.tasks().begin(), plan.projection.tasks().end(), task) -
            plan.projection.tasks().begin());
        of_model[place] = std::make_unique<ComparedOutput>(
            plan.projection.schema().tasks()[own].kind == TaskKind::kBinary, most_scored_rows);
      }
    }
  }
  /// Borrows this object and `trainers` for as long as they learn.
  void observe(Trainers& trainers) {
    trainers.observe(
        [this, &trainers](std::size_t model, int task, const Measurement& row, std::uint64_t user) {
          outputs_[model][static_cast<std::size_t>(task)]->add(row, user, trainers.rows_before());
        });
  }
  /// After the last batch.
  void finish() {
    for (auto& of_model : outputs_) {
      for (auto& output : of_model) {
        if (output) output->finish();
      }
    }
  }
  /// `task`: the stream's. Null: the model does not have it.
  const ComparedOutput* output(std::size_t model, int task) const {
    const auto place = static_cast<std::size_t>(task);
    return place < outputs_[model].size() ? outputs_[model][place].get() : nullptr;
  }

 private:
  std::vector<std::vector<std::unique_ptr<ComparedOutput>>> outputs_;  // by model and task
};

}  // namespace millrace
