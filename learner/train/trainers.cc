#include "learner/train/trainers.h"

#include <set>

#include "learner/base/check.h"

namespace millrace {

Trainers::Trainers(std::vector<std::unique_ptr<Trainer>> models) : models_(std::move(models)) {
  MILLRACE_CHECK(!models_.empty());
  std::set<std::string_view> names;
  for (const auto& model : models_) MILLRACE_CHECK(names.insert(model->name()).second);
}

void Trainers::train(const Batch& batch) {
  for (const auto& model : models_) model->train(batch);
}

bool Trainers::set_champion(std::string_view name) {
  for (std::size_t i = 0; i < models_.size(); ++i) {
    if (models_[i]->name() != name) continue;
    champion_ = i;
    return true;
  }
  return false;
}

}  // namespace millrace
