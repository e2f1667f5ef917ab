#include "ops/config/explain.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "ingest/join/windows.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/first_scores.h"
#include "ops/config/feedback_checks.h"
#include "ops/config/memory.h"
#include "ops/config/models.h"

namespace millrace {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

std::string explain_events(const Config& config) {
  std::string text = "events\n";
  std::size_t width = 10;
  for (const OutcomeType& outcome : config.events.outcomes) {
    width = std::max(width, outcome.name.size());
  }
  const auto add = [&](const std::string& name, const std::string& rest) {
    text += "  " + padded(name, width) + "  " + rest + "\n";
  };
  const EventTypes& events = config.events;
  if (events.has_impressions) add("impression", "topic " + events.impression_topic);
  for (std::size_t o = 0; o < events.outcomes.size(); ++o) {
    const OutcomeType& outcome = events.outcomes[o];
    const bool used = std::any_of(config.labels.begin(), config.labels.end(),
                                  [&](const auto& l) { return l.outcome == static_cast<int>(o); });
    add(outcome.name, "topic " + outcome.topic + "; counts up to " +
                          print_duration(outcome.window) + " after its impression" +
                          (outcome.needs_value ? "; needs a value" : "") +
                          (used ? "" : "; no task uses it"));
  }
  if (!events.sample_topic.empty()) add("sample", "topic " + events.sample_topic);
  return text;
}

// When a task's label is learned, and how.
std::string explain_policy(const Config& config, std::size_t t) {
  const Task& task = config.tasks[t];
  const std::string decided = print_duration(decided_after(config, static_cast<int>(t)));
  const std::string word(choice_name(task.policy));
  const bool on_condition = task.given >= 0 && !task.entire_space;
  switch (task.policy) {
    case FeedbackPolicy::kWait:
      return "; decided " + decided + " after the impression";
    case FeedbackPolicy::kFnw:
    case FeedbackPolicy::kFnc:
      return std::string("; trained at once as 0") +
             (on_condition ? " when its condition is 1" : "") + ", and again as 1 when it comes (" +
             word + "); measured " + decided + " after the impression";
    case FeedbackPolicy::kEsDfm:
    case FeedbackPolicy::kDefuse:
    case FeedbackPolicy::kDefer:
      return "; trained as it stands after " + print_duration(task.short_wait) +
             ", and again as 1 when it comes later" +
             (task.policy == FeedbackPolicy::kDefer ? ", and once more" : "") + " (" + word +
             "); " + (task.policy == FeedbackPolicy::kDefer ? "final and " : "") + "measured " +
             decided + " after the impression";
    case FeedbackPolicy::kDfm:
      return "; looked at after " + print_duration(task.short_wait) + ", then each time " +
             std::to_string(Windows::kLookGrowth) +
             " times as late, and trained with its delay (dfm); final and measured " + decided +
             " after the impression";
  }
  return "";
}

std::string explain_label(const Config& config, std::size_t t) {
  const LabelSource& label = config.labels[t];
  if (label.outcome < 0) return "the sample's label";
  const std::string outcome = config.events.outcomes[static_cast<std::size_t>(label.outcome)].name;
  if (config.tasks[t].kind == TaskKind::kBinary) return "whether there was a " + outcome;
  return "the " + std::string(choice_name(label.aggregate)) + " " + outcome +
         (label.absent ? ", " + print_value(*label.absent) + " if there was none" : "") +
         (config.tasks[t].kind == TaskKind::kCount         ? ", learned as a rate"
          : config.tasks[t].transform == Transform::kLog1p ? ", learned as log1p"
                                                           : "");
}

std::string explain_tasks(const Config& config) {
  std::string text = "tasks\n";
  std::size_t width = 0;
  for (const Task& task : config.tasks) width = std::max(width, task.name.size());
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    const Task& task = config.tasks[t];
    text += "  " + padded(task.name, width) + "  " + std::string(choice_name(task.kind)) + ": " +
            explain_label(config, t);
    if (task.given >= 0) {
      const std::string& condition = config.tasks[static_cast<std::size_t>(task.given)].name;
      text += task.entire_space
                  ? "; the product with " + condition + " is trained over all impressions"
                  : "; trained where " + condition + " is 1";
    }
    if (config.labels[t].outcome >= 0) text += explain_policy(config, t);
    text += "\n";
  }
  return text;
}

Schema inputs_of(const ModelPlan& plan) {
  return input_schema(plan.projection.schema(), plan.options.model);
}

std::string explain_experts(const ModelOptions& model) {
  const std::string layers = print_value(model.expert_layers);
  switch (model.backbone) {
    case BackboneKind::kSharedBottom:
      return "a bottom " + layers;
    case BackboneKind::kSharedSpecific:
      return "a shared bottom and one of each task's own " + layers;
    case BackboneKind::kSeparate:
      return "a bottom of each task's own " + layers + ", which share the embeddings alone";
    case BackboneKind::kMmoe:
      return std::to_string(model.experts) + " experts " + layers;
    case BackboneKind::kCgc:
    case BackboneKind::kPle:
    case BackboneKind::kStem:
      break;
  }
  return std::to_string(model.task_experts) + " experts of each task's own and " +
         std::to_string(model.shared_experts) + " shared ones " + layers;
}

bool has_gates(const ModelOptions& model) {
  return model.backbone != BackboneKind::kSharedBottom &&
         model.backbone != BackboneKind::kSharedSpecific &&
         model.backbone != BackboneKind::kSeparate;
}

std::string explain_model(const ModelPlan& plan, const Config& config, long parameters) {
  const ModelOptions& model = plan.options.model;
  const Schema schema = inputs_of(plan);
  std::string text = "model " + plan.name + "\n  ";
  if (!plan.projection.is_whole()) {
    const auto names = [](const auto& things) {
      std::string all;
      for (const auto& thing : things) all += (all.empty() ? "" : ", ") + thing.name;
      return all;
    };
    text += "of the tasks " + names(schema.tasks()) + " and the features " +
            names(schema.features()) + "\n  ";
  }
  return text + std::string(choice_name(model.backbone)) + ": " + grouped(schema.inputs()) +
         " inputs (" + grouped(schema.context_width()) + " from the context), " +
         explain_experts(model) +
         (has_gates(model)
              ? ", gates " + (model.gate_layers.empty() ? "linear" : print_value(model.gate_layers))
              : "") +
         ", towers " + print_value(model.tower_layers) + "\n  " + grouped(parameters) +
         " dense weights" +
         (plan.projection.has_all_tasks() ? "; the score is " + config.score : "") + "\n";
}

std::string explain_memory(const Config& config, const std::vector<ModelPlan>& plans,
                           std::optional<std::int64_t> rows) {
  const MemoryEstimate memory = estimate_memory(config, plans, rows);
  std::string text = rows ? "memory with " + grouped(*rows) + " rows in each table, at most\n"
                          : std::string("memory, at most\n");
  std::size_t width = std::string_view("served tables, two copies").size();
  for (const MemoryPart& part : memory.parts) width = std::max(width, part.what.size());
  const auto add = [&](const std::string& what, double bytes, const std::string& note) {
    text += "  " + padded(what, width + 3) +
            (note.empty() ? rough_bytes(bytes) : padded(rough_bytes(bytes), 10) + note) + "\n";
  };
  for (const MemoryPart& part : memory.parts) add(part.what, part.bytes, part.note);
  add("together", memory.together, "");
  add("of these in a replay", memory.of_replay, "it serves nobody and reads no broker");
  const Schema schema = config.schema();
  if (schema.has_immediate()) {
    text += "  Labels trained early: " + std::to_string(FirstScores::bytes_each(schema)) +
            " B for each impression from its first row until its label is decided.\n";
  }
  return text + "  A table takes what its keys take, not its limit: " +
         rough_bytes(1000 * memory.each_row) +
         " for every 1,000 rows in each, its commits and what is served of it included; --rows "
         "tells it for a number of rows.\n";
}

}  // namespace

std::string rough_bytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes,
                kUnits[unit]);
  return text.data();
}

std::string explain_config(const Config& config, std::optional<std::int64_t> rows) {
  const std::vector<ModelPlan> plans = model_plans(config);
  std::string text = explain_events(config) + explain_tasks(config);
  for (const ModelPlan& plan : plans) {
    const Model<float> model(inputs_of(plan), plan.options.model);
    text += explain_model(plan, config, count_values(model.parameters()));
  }
  return text + explain_memory(config, plans, rows);
}

}  // namespace millrace
