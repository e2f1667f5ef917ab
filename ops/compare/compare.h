#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/compare/comparison_report.h"
#include "ops/config/load.h"
#include "ops/engine/engine.h"

namespace millrace {

enum class SingleTask {
  kAuto,  ///< Where the first model has 2 to 8 tasks.
  kOn,
  kOff,
};

enum class LinearModels {
  kAuto,  ///< Where 1 to 16 tasks are binary.
  kOn,
  kOff,
};

struct CompareOptions {
  std::vector<std::string> events;
  SingleTask single_task = SingleTask::kAuto;
  LinearModels linear = LinearModels::kAuto;
  BootstrapOptions bootstrap;
  bool wants_charts = false;
  EngineLog log;
  std::function<bool()> stopping;
  std::function<void(const Progress&)> tick;
};

/// The configuration of `path` with a list of models made of `files`: each is an entry of `models`
/// (it overrides parts of the configuration), called by its `name`, or like its file. Without files
/// the configuration's own models. Error: as load_config.
Result<LoadedConfig> load_models(const std::string& path, const std::vector<std::string>& files,
                                 const std::vector<ConfigOverride>& overrides);

struct CompareResult {
  Comparison comparison;
  std::vector<LineChart> charts;
  bool ended = false;  ///< False: it was stopped, and nothing else is of use.
};

/// Trains the models of `config` on the same stream, in a store of its own that goes afterwards.
/// For the gain of learning tasks together, the first model's tasks are learned alone beside it:
/// "single.<task>"; for what all of it is worth, every binary task of the stream is learned by a
/// logistic regression (LinearComparison). Throws as Engine; LearningError. Error: as Engine::make.
Result<CompareResult> compare(Config config, const CompareOptions& options);

}  // namespace millrace
