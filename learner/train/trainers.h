#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "learner/train/trainer.h"

namespace millrace {

/// The models that learn from one stream of batches, each with its own state, metrics and name; one
/// is the champion, whose scores are served. Threads: one at a time.
class Trainers {
 public:
  /// The first model is the champion. Requires: at least one, and names are unique.
  explicit Trainers(std::vector<std::unique_ptr<Trainer>> models);

  /// One step of every model, in their order.
  void train(const Batch& batch);

  std::size_t size() const { return models_.size(); }
  Trainer& operator[](std::size_t index) { return *models_[index]; }
  const Trainer& operator[](std::size_t index) const { return *models_[index]; }
  auto begin() const { return models_.begin(); }
  auto end() const { return models_.end(); }

  Trainer& champion() { return *models_[champion_]; }
  const Trainer& champion() const { return *models_[champion_]; }
  /// Returns false, and changes nothing, where no model has that name.
  bool set_champion(std::string_view name);

 private:
  std::vector<std::unique_ptr<Trainer>> models_;
  std::size_t champion_ = 0;
};

}  // namespace millrace
