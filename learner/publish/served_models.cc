#include "learner/publish/served_models.h"

#include "learner/base/check.h"
#include "learner/model/stem.h"

namespace millrace {

void ServedModels::apply(const NamedPublication& named, VersionNumber version) {
  std::shared_ptr<ServingModel> model;
  {
    const std::lock_guard lock(mutex_);
    if (const auto at = others_.find(named.model); at != others_.end()) model = at->second;
  }
  const bool first = model == nullptr;
  if (first) {
    const std::shared_ptr<const ServedShape>& shape = named.publication.shape;
    MILLRACE_CHECK(named.publication.complete && shape != nullptr);
    model =
        std::make_shared<ServingModel>(input_schema(shape->projection.schema(), shape->options));
  }
  model->apply(named.publication, version);
  if (!first) return;
  const std::lock_guard lock(mutex_);
  others_[named.model] = std::move(model);
}

void ServedModels::keep_champion(const std::string& next) {
  if (!champion_.has_version()) return;
  const std::shared_ptr<const ServedShape> shape = champion_.pin().shape();
  if (shape == nullptr || shape->model == next) return;
  {
    const std::lock_guard lock(mutex_);
    if (others_.contains(shape->model)) return;
  }
  std::shared_ptr<ServingModel> kept = champion_.copy();
  const std::lock_guard lock(mutex_);
  others_[shape->model] = std::move(kept);
}

void ServedModels::became_champion(const std::string& model) {
  const std::lock_guard lock(mutex_);
  others_.erase(model);
}

// Where the champion is that model, one of its own may be left from when it was not; and one of its
// own may go, as it has become the champion, between the two looks.
std::shared_ptr<const ServingModel> ServedModels::find(std::string_view model) const {
  for (const bool again : {false, true}) {
    if (champion_.has_version()) {
      const ServingModel::Pin pin = champion_.pin();
      if (pin.shape() != nullptr && pin.shape()->model == model) {
        return {std::shared_ptr<void>(), &champion_};  // which outlives this
      }
    }
    const std::lock_guard lock(mutex_);
    const auto at = others_.find(model);
    if (at != others_.end()) return at->second;
    if (again) break;
  }
  return nullptr;
}

// Who was the champion is there by its name before another is in its place.
void apply_champion(const Publication& publication, VersionNumber version, ServingModel& champion,
                    ServedModels* others) {
  const bool names_it = others != nullptr && publication.shape != nullptr;
  if (names_it) others->keep_champion(publication.shape->model);
  champion.apply(publication, version);
  if (names_it) others->became_champion(publication.shape->model);
}

}  // namespace millrace
