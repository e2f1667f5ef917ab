// What of a configuration a store's state depends on.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "learner/data/derived_keys.h"
#include "learner/embedding/row_optimizer.h"
#include "ops/config/config.h"
#include "ops/config/models.h"
#include "ops/config/yaml_text.h"

namespace millrace {
namespace {

class Lines {
 public:
  template <class Value>
  void add(const std::string& key, const Value& value) {
    text_ += key + ": " + yaml_value(value) + "\n";
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

void add_features(Lines& lines, const Config& config) {
  std::string order;
  for (const Feature& feature : config.features) {
    order += (order.empty() ? "" : ", ") + feature.name;
    const std::string key = "features." + feature.name + ".";
    lines.add(key + "type", feature.kind);
    if (has_embedding(feature)) {
      lines.add(key + "dimension", feature.dimension);
      lines.add(key + "table", feature.table.empty() ? feature.name : feature.table);
    }
    if (feature.kind == FeatureKind::kBag) lines.add(key + "pooling", feature.pooling);
    if (feature.kind == FeatureKind::kDense) lines.add(key + "width", feature.width);
    if (is_bucketised(feature)) {
      lines.add(key + "boundaries", Buckets(feature, 0).boundaries());
    } else if (feature.kind == FeatureKind::kNumeric) {
      lines.add(key + "transform", feature.transform);
      lines.add(key + "standardize", feature.standardize);
    }
    if (feature.kind == FeatureKind::kCross) {
      lines.add(key + "of", feature.of);
    } else {
      lines.add(key + "context", feature.context);
    }
  }
  lines.add("features", order);
}

void add_tasks(Lines& lines, const Config& config) {
  std::string order;
  std::set<int> used;
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    const Task& task = config.tasks[t];
    const LabelSource& label = config.labels[t];
    order += (order.empty() ? "" : ", ") + task.name;
    const std::string key = "tasks." + task.name + ".";
    lines.add(key + "kind", task.kind);
    if (label.outcome >= 0) {
      const auto& outcome = config.events.outcomes[static_cast<std::size_t>(label.outcome)];
      lines.add(key + "label", outcome.name);
      if (used.insert(label.outcome).second) {
        lines.add("events." + outcome.name + ".window", outcome.window);
      }
    }
    if (task.given >= 0) {
      lines.add(key + "given", config.tasks[static_cast<std::size_t>(task.given)].name);
    }
    lines.add(key + "entire_space", task.entire_space);
    if (task.kind != TaskKind::kBinary) {
      lines.add(key + "transform", task.transform);
      lines.add(key + "aggregate", label.aggregate);
      lines.add(key + "absent", label.absent);
    }
    lines.add("train.delayed_feedback." + task.name, task.policy);
    if (has_short_wait(task.policy)) {
      lines.add("train.delayed_feedback." + task.name + ".short_wait", task.short_wait);
    }
    if (task.logit_shift != 0) {
      lines.add("train.negative_sampling.rate", config.learner.train.negative_sampling.rate);
    }
  }
  lines.add("tasks", order);
}

std::map<std::string, std::string> parse_lines(const std::string& identity) {
  std::map<std::string, std::string> values;
  std::istringstream lines(identity);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) values[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return values;
}

// What gives the backbone its shape, and its weights their meaning.
void add_backbone(Lines& lines, const ModelOptions& model) {
  switch (model.backbone) {
    case BackboneKind::kSharedBottom:
    case BackboneKind::kSeparate:
      return;
    case BackboneKind::kSharedSpecific:
      lines.add("model.shared_mix", model.shared_mix);
      return;
    case BackboneKind::kMmoe:
      lines.add("model.experts", model.experts);
      lines.add("model.one_gate", model.one_gate);
      break;
    case BackboneKind::kPle:
      lines.add("model.levels", model.levels);
      lines.add("model.shared_gate", model.shared_gate);
      break;
    case BackboneKind::kStem:
      lines.add("model.stem_levels", model.stem_levels);
      lines.add("model.stem_gate_input", model.stem_gate_input);
      break;
    case BackboneKind::kCgc:
      break;
  }
  if (model.backbone != BackboneKind::kMmoe) {
    lines.add("model.task_experts", model.task_experts);
    lines.add("model.shared_experts", model.shared_experts);
  }
  lines.add("model.gate_bias", model.gate_bias);
  if (model.learn_temperature) {
    lines.add("model.learn_temperature", model.learn_temperature);
    lines.add("model.least_temperature", model.least_temperature);
  } else if (model.gate_temperature != 1) {
    lines.add("model.gate_temperature", model.gate_temperature);
  }
}

// Of a configuration with one model.
std::string identity_of_one(const Config& config) {
  Lines lines;
  const LearnerOptions& learner = config.learner;
  lines.add("name", config.name);  // the model's state is stored under it
  lines.add("train.seed", learner.train.seed);
  add_features(lines, config);
  add_tasks(lines, config);
  lines.add("model.backbone", learner.model.backbone);
  add_backbone(lines, learner.model);
  lines.add("model.expert_layers", learner.model.expert_layers);
  lines.add("model.gate_layers", learner.model.gate_layers);
  lines.add("model.tower_layers", learner.model.tower_layers);
  lines.add("train.dense.optimizer", learner.train.dense.optimizer);
  if (learner.train.dense.task_states) {
    lines.add("train.dense.task_states", learner.train.dense.task_states);
  }
  lines.add("train.embedding.optimizer", learner.train.embedding.optimizer);
  // What else says which values stand beside a row's weights.
  const RowOptimizer rows(learner.train.embedding);
  if (rows.starts_at_zero()) lines.add("train.embedding.l1", std::string("above 0"));
  if (rows.decays()) lines.add("train.embedding.decay", std::string("above 0"));
  if (learner.embeddings.admission != KeyAdmission::kExact) {
    lines.add("embeddings.admission", learner.embeddings.admission);
    lines.add("embeddings.admission_memory", learner.embeddings.admission_memory);
  }
  lines.add("balance.method", learner.balance.method);
  const bool has_heads = std::any_of(config.tasks.begin(), config.tasks.end(),
                                     [](const Task& t) { return has_short_wait(t.policy); });
  if (has_heads) lines.add("train.feedback.layers", learner.train.feedback.layers);
  return std::move(lines).text();
}

// What of an identity is the stream's, whichever models learn from it.
bool is_of_the_stream(std::string_view key) {
  for (const std::string_view prefix :
       {"events.", "features", "tasks", "train.delayed_feedback.", "train.negative_sampling."}) {
    if (key.starts_with(prefix)) return true;
  }
  return false;
}

using Values = std::map<std::string, std::string>;

// The lines of an identity by whose they are; one without "models." is of one model, `name`.
struct Identity {
  Values stream;
  std::map<std::string, Values> models;

  explicit Identity(const std::string& text) {
    constexpr std::string_view kModels = "models.";
    const Values lines = parse_lines(text);
    const auto name = lines.find("name");
    for (const auto& [key, value] : lines) {
      if (key.starts_with(kModels)) {
        // A name may hold dots, but no slash.
        const std::string_view rest = std::string_view(key).substr(kModels.size());
        const std::size_t end = rest.find('/');
        models[std::string(rest.substr(0, end))][std::string(rest.substr(end + 1))] = value;
      } else if (is_of_the_stream(key)) {
        stream[key] = value;
      } else if (name != lines.end() && key != "name") {
        models[name->second][key] = value;
      }
    }
  }
  std::string names() const {
    std::string names;
    for (const auto& [name, values] : models) names += (names.empty() ? "" : ", ") + name;
    return names;
  }
};

void add_difference(const Values& before, const Values& now, const std::string& prefix,
                    std::string& difference) {
  std::set<std::string> keys;
  for (const auto& [key, value] : before) keys.insert(key);
  for (const auto& [key, value] : now) keys.insert(key);
  const auto shown = [](const Values& values, const std::string& key) {
    const auto at = values.find(key);
    return at == values.end() ? std::string("nothing") : at->second;
  };
  for (const std::string& key : keys) {
    const std::string a = shown(before, key), b = shown(now, key);
    if (a == b) continue;
    difference += prefix + key + ": the store has " + a + ", the configuration says " + b + "\n";
  }
}

}  // namespace

std::string config_identity(const Config& config) {
  const std::vector<ModelPlan> plans = model_plans(config);
  if (plans.size() == 1 && config.models.empty()) return identity_of_one(config);
  std::string text;
  for (const auto& [key, value] : parse_lines(identity_of_one(config))) {
    if (is_of_the_stream(key)) text += key + ": " + value + "\n";
  }
  for (const ModelPlan& plan : plans) {
    const std::string prefix = "models." + plan.name + "/";
    for (const auto& [key, value] : parse_lines(identity_of_one(config_of(config, plan)))) {
      const bool part =
          (key == "tasks" && !plan.projection.has_all_tasks()) ||
          (key == "features" && plan.projection.features().size() != config.features.size());
      if (part || (!is_of_the_stream(key) && key != "name")) {
        text += prefix + key + ": " + value + "\n";
      }
    }
  }
  return text;
}

std::string identity_difference(const std::string& stored, const std::string& configured) {
  const Identity before(stored), now(configured);
  std::string difference;
  add_difference(before.stream, now.stream, "", difference);
  const bool several = before.models.size() + now.models.size() > 2;
  bool any = false;
  for (const auto& [name, values] : before.models) {
    const auto at = now.models.find(name);
    if (at == now.models.end()) continue;
    any = true;
    add_difference(values, at->second, several ? "models." + name + "." : "", difference);
  }
  if (!any) {
    difference +=
        "name: the store has " + before.names() + ", the configuration says " + now.names() + "\n";
  }
  return difference;
}

std::vector<std::string> identity_models(const std::string& identity) {
  std::vector<std::string> names;
  for (const auto& [name, values] : Identity(identity).models) names.push_back(name);
  return names;
}

}  // namespace millrace
