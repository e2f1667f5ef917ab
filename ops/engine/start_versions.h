#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "learner/publish/served_models.h"
#include "learner/publish/serving_model.h"
#include "learner/train/trainers.h"
#include "ops/config/config.h"

namespace millrace {

/// What scorers get when an engine starts, before anybody is told that it is ready: the weights of
/// every model as the store has them.
///
/// Of a model whose weights the guardrails hold, its last good ones: those that are served by this
/// process already, or else those of the newest snapshot in which it was not held. So what answers
/// by a model's name is that model, and what answers for the champion is the champion. Only where
/// it has no good weights at all another model with every task answers in its place; answers and
/// the status name it. Threads: one, as ServingModel::apply.
class StartVersions {
 public:
  using Log = std::function<void(std::string_view level, const std::string& message)>;

  /// Borrows all. `served`: models beside the champion; null: none is asked for by name.
  StartVersions(const Config& config, ServingModel& serving, ServedModels* served, const Log& log)
      : config_(config), serving_(serving), served_(served), log_(log) {}

  /// Makes all of it visible as `version`, which names nothing else: what comes from elsewhere than
  /// these models has that number only where none of their own weights gets it.
  /// Returns why the champion's weights are held; empty: they are served.
  std::string publish(Trainers& trainers, VersionNumber version);

 private:
  void publish_beside(Trainers& trainers, std::size_t model, VersionNumber version);
  void replace_champion(Trainers& trainers, const std::string& held, VersionNumber version);
  bool put_another_in_its_place(Trainers& trainers, VersionNumber version);
  bool is_served_as_champion(const std::string& model) const;
  struct FromSnapshot {
    std::string snapshot;
    Publication publication;
  };
  std::optional<FromSnapshot> find_good(const std::string& model) const;

  const Config& config_;
  ServingModel& serving_;
  ServedModels* const served_;
  const Log& log_;
};

}  // namespace millrace
