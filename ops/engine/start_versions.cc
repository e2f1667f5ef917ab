#include "ops/engine/start_versions.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "ops/config/models.h"
#include "store/snapshot.h"
#include "store/store.h"

namespace millrace {
namespace {

constexpr const char* kAdvice =
    ". Roll back to a snapshot, change the champion, or resume learning to serve them anyway";

}  // namespace

std::string StartVersions::publish(Trainers& trainers, VersionNumber version) {
  for (std::size_t m = 0; served_ != nullptr && m < trainers.size(); ++m) {
    if (m != trainers.champion_index() && !trainers.is_twin(m)) {
      publish_beside(trainers, m, version);
    }
  }
  std::string held(trainers.champion().held());
  if (held.empty()) {
    apply_champion(trainers.publish(), version, serving_, served_);
  } else {
    replace_champion(trainers, held, version);
  }
  return held;
}

void StartVersions::publish_beside(Trainers& trainers, std::size_t model, VersionNumber version) {
  const std::string& name = trainers.name_of(model);
  const std::string held(trainers[model].held());
  if (held.empty()) {
    served_->apply({name, trainers.publish(model)}, version);
    return;
  }
  const std::string what = "the weights of the model " + name + " are not served (" + held + "); ";
  if (served_->find(name) != nullptr) {
    log_("warning", what + "its last good version is served on");
  } else if (auto good = find_good(name)) {
    served_->apply({name, std::move(good->publication)}, version);
    log_("warning", what + "those of the snapshot " + good->snapshot + " are");
  } else {
    log_("warning", what + "no snapshot has good ones either, so it is not served");
  }
}

void StartVersions::replace_champion(Trainers& trainers, const std::string& held,
                                     VersionNumber version) {
  const std::string& name = trainers.champion().name();
  const std::string what =
      "the weights of the champion " + name + " are not served (" + held + "); ";
  if (is_served_as_champion(name)) {
    log_("error", what + "its last good version is served on" + kAdvice);
  } else if (auto good = find_good(name)) {
    apply_champion(good->publication, version, serving_, served_);
    log_("error", what + "those of the snapshot " + good->snapshot + " are" + kAdvice);
  } else if (serving_.has_version() || put_another_in_its_place(trainers, version)) {
    const std::shared_ptr<const ServedShape> shape = serving_.pin().shape();
    log_("error", what + "no snapshot has good ones either, so " +
                      (shape == nullptr ? "what was served before" : "the model " + shape->model) +
                      " answers in its place" + kAdvice);
  } else {
    log_("error", what + "no snapshot has good ones either, so nothing is served" + kAdvice);
  }
}

bool StartVersions::put_another_in_its_place(Trainers& trainers, VersionNumber version) {
  for (std::size_t m = 0; m < trainers.size(); ++m) {
    if (m == trainers.champion_index() || !trainers.may_serve(m) || !trainers[m].held().empty()) {
      continue;
    }
    trainers[m].unpublish();
    apply_champion(trainers.publish(m), version, serving_, nullptr);
    // Where it is published by its name, too, it goes on from what is there.
    if (served_ == nullptr) trainers[m].unpublish();
    return true;
  }
  return false;
}

bool StartVersions::is_served_as_champion(const std::string& model) const {
  if (!serving_.has_version()) return false;
  const ServingModel::Pin pin = serving_.pin();
  return pin.shape() != nullptr && pin.shape()->model == model;
}

auto StartVersions::find_good(const std::string& model) const -> std::optional<FromSnapshot> {
  const std::string participant = "model/" + model;
  const SnapshotFolder folder(config_.store.path + "/snapshots");
  const std::vector<SnapshotInfo> snapshots = folder.list();
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    try {
      const auto copy = Store::open(folder.folder_of(*snapshot).string(), Store::Access::kRead);
      const std::vector<std::string> there = copy->participants();
      const std::string identity = copy->value("service", "identity").value_or("");
      if (std::find(there.begin(), there.end(), participant) == there.end() ||
          !identity_difference(identity, config_identity(config_)).empty()) {
        continue;
      }
      Trainers old(model_plans(config_));
      std::size_t m = 0;
      while (old.name_of(m) != model) ++m;
      copy->restore(old[m]);
      if (old[m].held().empty()) return FromSnapshot{snapshot->name, old.publish(m)};
    } catch (const std::exception& error) {
      log_("warning", "the snapshot " + snapshot->name + " cannot be served: " + error.what());
    }
  }
  return std::nullopt;
}

}  // namespace millrace
