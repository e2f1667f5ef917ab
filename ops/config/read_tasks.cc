#include <algorithm>
#include <cctype>
#include <set>

#include "ops/config/entries.h"
#include "ops/config/sections.h"

namespace millrace {
namespace {

bool is_identifier(const std::string& text) {
  const auto letter = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalpha(byte) != 0 || c == '_' || byte >= 0x80;
  };
  const auto inner = [&](char c) {
    return letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
  };
  return is_name(text) && letter(text.front()) && std::all_of(text.begin(), text.end(), inner);
}

// The tasks as they were written, each with the key that messages name it by.
struct Draft {
  std::vector<TaskEntry> entries;
  std::vector<std::string> keys;

  int find(const std::string& name) const {
    for (std::size_t t = 0; t < entries.size(); ++t) {
      if (entries[t].name == name) return static_cast<int>(t);
    }
    return -1;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const TaskEntry& entry : entries) all.push_back(entry.name);
    return all;
  }
};

void check_name(ConfigReader& reader, const std::string& key, const std::string& name) {
  if (!reader.is_good(key)) return;
  static const std::set<std::string> kTaken{"min", "max", "log", "exp", "score"};
  if (!is_identifier(name)) {
    reader.complain(key, '"' + name +
                             "\" is no task name; expected a letter, then letters, digits "
                             "and _ (score formulas name tasks)");
  } else if (kTaken.contains(name)) {
    reader.complain(key, name + " is taken: it has a meaning in score formulas and answers");
  }
}

void read_entry(ConfigReader& reader, const ConfigNode& item, std::size_t index,
                std::set<std::string>& names, Draft& draft) {
  const ConfigNode* name = item.find("name");
  const bool named = name != nullptr && !name->text.empty();
  const bool repeated = named && !names.insert(name->text).second;
  const std::string key = "tasks." + (named && !repeated ? name->text : std::to_string(index));
  reader.remember(key, item.place);
  if (item.kind == ConfigNode::Kind::kNothing) return reader.complain(key, "nothing is not a task");
  TaskEntry entry;
  reader.read_fields(item, key + ".", entry, TaskEntry::fields());
  if (item.kind == ConfigNode::Kind::kMap) {
    if (name == nullptr) reader.complain_missing(key + ".name", "the task's name");
    if (repeated) reader.complain(key + ".name", name->text + " is the name of two tasks");
    check_name(reader, key + ".name", entry.name);
  }
  draft.keys.push_back(key);
  draft.entries.push_back(std::move(entry));
}

// The transform and the `absent` that the kind allows.
void check_label(ConfigReader& reader, const std::string& key, const TaskEntry& entry) {
  const std::string kind(choice_name(entry.kind));
  const bool may_transform = entry.kind == TaskKind::kRegression;
  const bool own = entry.kind == TaskKind::kDuration && entry.transform == Transform::kLog1p;
  const bool is_other = entry.kind == TaskKind::kDuration ? reader.is_good(key + ".transform")
                                                          : entry.transform != Transform::kNone;
  if (is_other && !may_transform && !own) {
    reader.complain(key + ".transform", std::string(choice_name(entry.transform)) +
                                            " does not belong to a " + kind +
                                            " task; expected only where the kind is regression");
  }
  if (is_never_negative(entry.kind) && entry.absent && *entry.absent < 0) {
    reader.complain(key + ".absent",
                    print_value(*entry.absent) + " is less than 0, which no " + kind + " is");
  }
}

// Huber's loss is of a distance to the label.
void check_loss(ConfigReader& reader, const std::string& key, const TaskEntry& entry,
                std::vector<Problem>& doubts) {
  const bool huber = entry.loss == RegressionLoss::kHuber;
  if (huber && !is_distance(entry.kind)) {
    reader.complain(key + ".loss", "huber does not belong to a " +
                                       std::string(choice_name(entry.kind)) +
                                       " task; expected only where the kind is regression or "
                                       "duration");
  } else if (!huber && entry.delta != TaskEntry().delta) {
    doubts.push_back(
        {reader.place_of(key + ".delta"), key + ".delta: has no effect without `loss: huber`"});
  }
}

// What belongs to which kind of task.
void check_kind(ConfigReader& reader, const std::string& key, const TaskEntry& entry,
                std::vector<Problem>& doubts) {
  if (reader.has(key + ".kind") && !reader.is_good(key + ".kind")) return;
  const bool binary = entry.kind == TaskKind::kBinary;
  check_label(reader, key, entry);
  check_loss(reader, key, entry, doubts);
  for (const char* name : {"aggregate", "absent"}) {
    const std::string inner = key + "." + name;
    if (binary && reader.is_good(inner)) {
      doubts.push_back({reader.place_of(inner), inner + ": has no effect on a binary task"});
    }
  }
  if (!entry.entire_space) return;
  if (!binary) {
    reader.complain(key + ".entire_space", "true is only for binary tasks; this one is a " +
                                               std::string(choice_name(entry.kind)));
  } else if (!reader.has(key + ".given")) {
    reader.complain(key + ".entire_space",
                    "true is only for a task with a condition; expected `given` beside it");
  }
}

int find_label(ConfigReader& reader, const std::string& key, const TaskEntry& entry,
               const EventTypes& events) {
  const std::string& label = reader.has(key + ".label") ? entry.label : entry.name;
  std::vector<std::string> names;
  for (std::size_t o = 0; o < events.outcomes.size(); ++o) {
    if (events.outcomes[o].name == label) return static_cast<int>(o);
    names.push_back(events.outcomes[o].name);
  }
  const bool only_samples =
      events.outcomes.empty() && !events.has_impressions && !events.sample_topic.empty();
  const bool known_events = only_samples || !reader.is_good("events");
  const bool unreadable =
      reader.has(key + ".label") ? !reader.is_good(key + ".label") : !reader.is_good(key + ".name");
  if (known_events || unreadable) return -1;
  reader.complain(reader.has(key + ".label") ? key + ".label" : key + ".name",
                  label + " is no outcome under events; expected " +
                      (names.empty() ? "one to be there" : join_words(names)) +
                      (reader.has(key + ".label") ? "" : " (or a `label` that is one)"));
  return -1;
}

int find_condition(ConfigReader& reader, const std::string& key, const TaskEntry& entry,
                   const Draft& draft) {
  if (!reader.is_good(key + ".given")) return -1;
  const std::string inner = key + ".given";
  const int condition = draft.find(entry.given);
  if (condition < 0) {
    reader.complain(inner,
                    entry.given + " is no task; expected one of " + join_words(draft.names()));
    return -1;
  }
  const TaskEntry& other = draft.entries[static_cast<std::size_t>(condition)];
  if (other.name == entry.name) {
    reader.complain(inner, "a task cannot be its own condition");
    return -1;
  }
  if (other.kind != TaskKind::kBinary) {
    reader.complain(inner, entry.given + " is a " + std::string(choice_name(other.kind)) +
                               "; expected a binary task");
    return -1;
  }
  return condition;
}

// Complains once about each task whose chain of conditions comes back to it.
void check_cycles(ConfigReader& reader, const Draft& draft, std::vector<Task>& tasks) {
  std::vector<std::size_t> in_cycle;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    int at = tasks[t].given;
    for (std::size_t step = 0; at >= 0 && step < tasks.size(); ++step) {
      if (at == static_cast<int>(t)) {
        in_cycle.push_back(t);
        break;
      }
      at = tasks[static_cast<std::size_t>(at)].given;
    }
  }
  for (const std::size_t t : in_cycle) {
    reader.complain(draft.keys[t] + ".given",
                    draft.entries[t].given + " is itself given " + draft.entries[t].name +
                        ", directly or through others; expected conditions without a circle");
  }
  for (const std::size_t t : in_cycle) tasks[t].given = -1;
}

// Outcomes that tasks use come first, in the order of the tasks; then the others by name.
void order_outcomes(Config& config) {
  auto& outcomes = config.events.outcomes;
  std::vector<int> order;
  for (const LabelSource& label : config.labels) {
    const bool known = std::find(order.begin(), order.end(), label.outcome) != order.end();
    if (label.outcome >= 0 && !known) order.push_back(label.outcome);
  }
  const std::size_t used = order.size();
  for (int o = 0; o < static_cast<int>(outcomes.size()); ++o) {
    if (std::find(order.begin(), order.end(), o) == order.end()) order.push_back(o);
  }
  const auto name = [&](int o) -> const std::string& {
    return outcomes[static_cast<std::size_t>(o)].name;
  };
  std::sort(order.begin() + static_cast<std::ptrdiff_t>(used), order.end(),
            [&](int a, int b) { return name(a) < name(b); });

  std::vector<OutcomeType> sorted;
  sorted.reserve(order.size());
  for (const int o : order) sorted.push_back(outcomes[static_cast<std::size_t>(o)]);
  for (LabelSource& label : config.labels) {
    if (label.outcome < 0) continue;
    label.outcome =
        static_cast<int>(std::find(order.begin(), order.end(), label.outcome) - order.begin());
  }
  outcomes = std::move(sorted);
}

}  // namespace

void read_tasks(ConfigReader& reader, const ConfigNode* node, Config& config,
                std::vector<Problem>& doubts) {
  const std::string expected = "a list of tasks like {name: ctr, label: click}";
  if (node == nullptr) return reader.complain_missing("tasks", expected);
  if (node->kind != ConfigNode::Kind::kList || node->items.empty()) {
    const bool empty_list = node->kind == ConfigNode::Kind::kList;
    return reader.complain(
        "tasks", (empty_list ? "an empty list" : node->describe()) + " is not " + expected);
  }
  Draft draft;
  std::set<std::string> names;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    read_entry(reader, node->items[i], i, names, draft);
  }
  for (std::size_t t = 0; t < draft.entries.size(); ++t) {
    TaskEntry& entry = draft.entries[t];
    const std::string& key = draft.keys[t];
    check_kind(reader, key, entry, doubts);
    if (entry.kind == TaskKind::kDuration) entry.transform = Transform::kLog1p;
    const int condition = find_condition(reader, key, entry, draft);
    const bool binary = entry.kind == TaskKind::kBinary;
    const bool entire =
        reader.has(key + ".entire_space") ? entry.entire_space : binary && condition >= 0;
    config.tasks.push_back({.name = entry.name,
                            .kind = entry.kind,
                            .transform = entry.transform,
                            .given = condition,
                            .entire_space = entire,
                            .policy = FeedbackPolicy::kWait,
                            .loss = entry.loss,
                            .delta = entry.delta});
    const int outcome = find_label(reader, key, entry, config.events);
    config.labels.push_back({outcome, entry.aggregate, entry.absent});
    if (outcome >= 0 && !binary && entry.aggregate != Aggregate::kCount) {
      config.events.outcomes[static_cast<std::size_t>(outcome)].needs_value = true;
    }
  }
  check_cycles(reader, draft, config.tasks);
  order_outcomes(config);
}

}  // namespace millrace
