// --print-config: the effective configuration as YAML.
#include <algorithm>
#include <array>
#include <cctype>

#include "ops/config/load.h"
#include "ops/config/models.h"
#include "ops/config/sections.h"
#include "ops/config/yaml_text.h"

namespace millrace {
namespace {

constexpr std::string_view kRedacted = "(redacted)";

// Properties of librdkafka that hold, or may hold, a secret.
bool is_secret(const std::string& property) {
  std::string low = property;
  std::transform(low.begin(), low.end(), low.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* part :
       {"password", "secret", "token", "credential", "jaas", "oauthbearer.config", "key.pem"}) {
    if (low.find(part) != std::string::npos) return true;
  }
  return false;
}

// One mapping over lines, or, for sections inside sections, in braces.
template <class Options>
std::string flow(const Options& options) {
  std::string text = "{";
  auto add = [&](const auto& field) {
    const auto& value = options.*field.member;
    text += (text.size() > 1 ? ", " : "") + std::string(field.key) + ": ";
    if constexpr (Section<std::remove_cvref_t<decltype(value)>>) {
      text += flow(value);
    } else {
      text += yaml_value(value);
    }
  };
  std::apply([&](const auto&... field) { (add(field), ...); }, Options::fields());
  return text + "}";
}

template <class Options>
std::string block(const Options& options, const std::string& indent = "  ",
                  std::string_view of_a_model = {}) {
  std::string text;
  auto add = [&](const auto& field) {
    const auto& value = options.*field.member;
    if (!of_a_model.empty() && !why_of_the_stream(of_a_model, field.key).empty()) return;
    text += indent + std::string(field.key) + ": ";
    if constexpr (Section<std::remove_cvref_t<decltype(value)>>) {
      text += flow(value) + "\n";
    } else {
      text += yaml_value(value) + "\n";
    }
  };
  std::apply([&](const auto&... field) { (add(field), ...); }, Options::fields());
  return text;
}

std::string print_events(const EventTypes& events) {
  std::string text;
  const auto add = [&](const std::string& name, const std::string& topic,
                       const std::string& window) {
    text += "  " + yaml_text(name) + ": {topic: " + yaml_text(topic) +
            (window.empty() ? "" : ", window: " + window) + "}\n";
  };
  if (events.has_impressions) add("impression", events.impression_topic, "");
  for (const OutcomeType& outcome : events.outcomes) {
    add(outcome.name, outcome.topic, print_duration(outcome.window));
  }
  if (!events.sample_topic.empty()) add("sample", events.sample_topic, "");
  return text;
}

std::string print_feature(const Feature& feature) {
  std::string text =
      "  - {name: " + yaml_text(feature.name) + ", type: " + std::string(choice_name(feature.kind));
  const auto add = [&](const char* key, const std::string& value) {
    text += ", " + std::string(key) + ": " + value;
  };
  const bool keys = has_embedding(feature);
  if (keys) add("dimension", print_value(feature.dimension));
  if (keys) add("table", yaml_text(feature.table.empty() ? feature.name : feature.table));
  if (feature.kind == FeatureKind::kBag) add("pooling", print_value(feature.pooling));
  if (feature.kind == FeatureKind::kDense) add("width", print_value(feature.width));
  if (!feature.boundaries.empty()) add("boundaries", yaml_value(feature.boundaries));
  if (feature.buckets > 0) {
    add("buckets", print_value(feature.buckets));
    add("range", yaml_value(feature.range));
  }
  if (feature.kind == FeatureKind::kNumeric && feature.boundaries.empty()) {
    add("transform", print_value(feature.transform));
  }
  if (feature.kind == FeatureKind::kNumeric && !keys) {
    add("standardize", print_value(feature.standardize));
  }
  if (feature.kind == FeatureKind::kCross) {
    add("of", yaml_value(feature.of));
  } else {
    add("context", print_value(feature.context));
  }
  return text + "}\n";
}

std::string print_task(const Config& config, std::size_t t) {
  const Task& task = config.tasks[t];
  const LabelSource& label = config.labels[t];
  std::string text = "  - {name: " + yaml_text(task.name);
  const auto add = [&](const char* key, const std::string& value) {
    text += ", " + std::string(key) + ": " + value;
  };
  if (label.outcome >= 0) {
    add("label", yaml_text(config.events.outcomes[static_cast<std::size_t>(label.outcome)].name));
  }
  if (task.given >= 0) add("given", config.tasks[static_cast<std::size_t>(task.given)].name);
  add("kind", print_value(task.kind));
  if (task.kind != TaskKind::kBinary) {
    if (is_distance(task.kind)) add("transform", print_value(task.transform));
    add("aggregate", print_value(label.aggregate));
    if (label.absent) add("absent", yaml_number(*label.absent));
    if (is_distance(task.kind)) add("loss", print_value(task.loss));
    if (task.loss == RegressionLoss::kHuber) add("delta", yaml_number(task.delta));
  }
  add("entire_space", print_value(task.entire_space));
  return text + "}\n";
}

template <class Named>
std::string print_picked(const std::vector<Named>& all, const std::vector<int>& picked) {
  std::string names;
  for (const int i : picked) {
    names += (names.empty() ? "" : ", ") + yaml_text(all[static_cast<std::size_t>(i)].name);
  }
  return "[" + names + "]\n";
}

std::string print_model(const Config& config, const ModelEntry& entry) {
  std::string text = "  - name: " + yaml_text(entry.name) + "\n";
  text += "    tasks: " + print_picked(config.tasks, entry.tasks);
  text += "    features: " + print_picked(config.features, entry.features);
  Config of_entry = config;
  of_entry.learner = entry.learner;
  for (const std::string_view section : kModelSections) {
    text += "    " + std::string(section) + ":\n";
    visit_section(of_entry, section, [&](const auto& options, std::string_view) {
      text += block(options, "      ", section);
    });
  }
  return text;
}

std::string print_twins(const TwinOptions& twins) {
  std::string names;
  for (const std::string& task : twins.tasks) {
    names += (names.empty() ? "" : ", ") + yaml_text(task);
  }
  return "twins:\n" + (names.empty() ? "" : "  tasks: [" + names + "]\n") + block(twins.alarm);
}

}  // namespace

std::string print_config(const Config& config) {
  Config shown = config;
  for (auto& [property, value] : shown.kafka.properties) {
    if (is_secret(property)) value = kRedacted;
  }
  std::string text;
  for (const std::string_view key : kTopKeys) {
    const std::string name(key);
    if (name == "name") text += "name: " + yaml_text(shown.name) + "\n";
    if (name == "score") text += "score: " + yaml_text(shown.score) + "\n";
    if (name == "events") text += "events:\n" + print_events(shown.events);
    if (name == "features") {
      text += "features:\n";
      for (const Feature& feature : shown.features) text += print_feature(feature);
    }
    if (name == "tasks") {
      text += "tasks:\n";
      for (std::size_t t = 0; t < shown.tasks.size(); ++t) text += print_task(shown, t);
    }
    if (name == "models" && !shown.models.empty()) {
      text += "models:\n";
      for (const ModelEntry& entry : shown.models) text += print_model(shown, entry);
    }
    if (name == "twins") text += print_twins(shown.twins);
    visit_section(shown, key, [&](const auto& options, std::string_view) {
      text += name + ":\n" + block(options);
    });
  }
  return text;
}

}  // namespace millrace
