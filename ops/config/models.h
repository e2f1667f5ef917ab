#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "learner/train/trainers.h"
#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// Reads a whole document into a configuration with all that must hold of it; what is wrong is told
/// with `prefix` before the key.
using ReadDocument =
    std::function<void(const ConfigNode& document, const std::string& prefix, Config& config)>;

/// `models` and `twins`. An entry of `models` is the document with what it changes; it is read, and
/// held against everything, as a configuration of its own. What belongs to the stream (events, the
/// join, batches, policies, sampling) is refused with the reason. Requires: all else was read into
/// `config`, and nothing was wrong with it.
void read_models(ConfigReader& reader, const ConfigNode& document, Config& config,
                 const ReadDocument& read);

/// The sections that a model may have for itself.
inline constexpr std::array<std::string_view, 5> kModelSections{"model", "balance", "train",
                                                                "embeddings", "guardrails"};

/// Why `section.key` is the stream's and no model's; empty where a model may have its own.
std::string_view why_of_the_stream(std::string_view section, std::string_view key);

/// The models on the stream of a configuration, in their order: those of `models`, or the one that
/// the sections describe; then a twin, "twin.<task>", for each of `twins.tasks`.
std::vector<ModelPlan> model_plans(const Config& config);

/// What of a model's options is between tasks, or of other tasks, goes: for a model of `task`
/// alone.
void learn_alone(LearnerOptions& options, const std::string& task);

/// A configuration as one of its models has it: its sections, tasks and features, and no others.
Config config_of(const Config& config, const ModelPlan& plan);

}  // namespace millrace
