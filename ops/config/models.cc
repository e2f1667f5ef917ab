#include "ops/config/models.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

#include "ops/config/sections.h"

namespace millrace {
namespace {

using Kind = ConfigNode::Kind;

struct OfTheStream {
  std::string_view section, key, why;
};
constexpr std::string_view kBatches = "all models learn from the same batches";
constexpr std::string_view kLabels = "what becomes of labels and rows is decided before any model";
constexpr auto kOfTheStream = std::to_array<OfTheStream>({
    {"train", "batch", kBatches},
    {"train", "batch_span", kBatches},
    {"train", "queue", kBatches},
    {"train", "device", "all models learn on one device"},
    {"train", "threads", "the models share the threads"},
    {"train", "delayed_feedback", kLabels},
    {"train", "negative_sampling", kLabels},
    {"train", "shed", kLabels},
    {"guardrails", "dead_letters", kLabels},
    {"guardrails", "user_cap", kLabels},
});

// Mappings by task: an entry's takes the place of the whole mapping, and a model without a task has
// nothing of it.
constexpr std::array<std::string_view, 7> kByTask{
    "balance.weights",    "balance.decay",           "train.delayed_feedback",
    "train.labels.ratio", "train.labels.oversample", "train.labels.curriculum.steps",
    "train.recalibrate"};

bool is_by_task(const std::string& path) {
  return std::find(kByTask.begin(), kByTask.end(), path) != kByTask.end();
}

// The node at a path of keys; null where there is none.
ConfigNode* find_path(ConfigNode& document, std::string_view path) {
  ConfigNode* at = &document;
  while (at != nullptr && !path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    at = at->find(path.substr(0, dot));
    path = path.substr(std::min(dot + 1, path.size()));
  }
  return at;
}

bool is_word_of(std::string_view text) {
  constexpr std::string_view kOthers = "._-";
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [&](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

template <class Named>
std::vector<std::string> names_of(const std::vector<Named>& things) {
  std::vector<std::string> names;
  for (const Named& thing : things) names.push_back(thing.name);
  return names;
}

void put(ConfigNode& map, const std::string& key, ConfigNode value) {
  if (ConfigNode* there = map.find(key)) {
    *there = std::move(value);
    return;
  }
  map.kind = Kind::kMap;
  map.keys.push_back(key);
  map.items.push_back(std::move(value));
}

void remove(ConfigNode& map, std::string_view key) {
  for (std::size_t i = 0; i < map.keys.size(); ++i) {
    if (map.keys[i] != key) continue;
    map.keys.erase(map.keys.begin() + static_cast<std::ptrdiff_t>(i));
    map.items.erase(map.items.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

// Puts what `change` says over the node at `path`, section by section inside it.
void lay_over(ConfigNode& node, const ConfigNode& change, const std::string& path) {
  if (change.kind != Kind::kMap || node.kind != Kind::kMap || is_by_task(path)) {
    if (change.kind != Kind::kNothing) node = change;
    return;
  }
  for (std::size_t i = 0; i < change.keys.size(); ++i) {
    const std::string& key = change.keys[i];
    if (ConfigNode* there = node.find(key)) {
      lay_over(*there, change.items[i], path + "." + key);
    } else {
      put(node, key, change.items[i]);
    }
  }
}

// The indices, ascending, of the names that the list `node` holds; all where it is null.
std::vector<int> read_picked(ConfigReader& reader, const ConfigNode* node, const std::string& key,
                             const std::vector<std::string>& known, const char* what) {
  std::vector<int> picked;
  if (node == nullptr) {
    picked.resize(known.size());
    std::iota(picked.begin(), picked.end(), 0);
    return picked;
  }
  reader.remember(key, node->place);
  if (node->kind != Kind::kList || node->items.empty()) {
    reader.complain(
        key, std::string("expected a list of names of ") + what + " like [" + known.front() + "]");
    return picked;
  }
  for (const ConfigNode& item : node->items) {
    const auto at = std::find(known.begin(), known.end(), item.text);
    if (item.kind != Kind::kScalar || at == known.end()) {
      reader.complain(key, item.describe() + " is none of the " + what + "; expected names of " +
                               join_words(known, "and"));
      continue;
    }
    picked.push_back(static_cast<int>(at - known.begin()));
  }
  std::sort(picked.begin(), picked.end());
  if (std::adjacent_find(picked.begin(), picked.end()) != picked.end()) {
    reader.complain(key, "a name stands there twice");
  }
  return picked;
}

// Leaves the entries of a list of named things that are picked.
void pick(ConfigNode& list, const std::vector<int>& picked) {
  std::vector<ConfigNode> items;
  for (const int i : picked) items.push_back(std::move(list.items[static_cast<std::size_t>(i)]));
  list.items = std::move(items);
}

// The document without the tasks that a model does not have, and all that is said of them.
void pick_tasks(ConfigNode& document, const Config& config, const std::vector<int>& picked) {
  if (picked.size() == config.tasks.size()) return;
  ConfigNode* tasks = document.find("tasks");
  pick(*tasks, picked);
  std::set<std::string> left;
  for (const int t : picked) left.insert(config.tasks[static_cast<std::size_t>(t)].name);
  for (ConfigNode& task : tasks->items) {
    const ConfigNode* given = task.find("given");
    if (given == nullptr || left.contains(given->text)) continue;
    remove(task, "given");
    remove(task, "entire_space");
  }
  remove(document, "score");
  // Formulas over all tasks, and what all of them add up to, are of models that have them.
  if (ConfigNode* evaluate = document.find("evaluate")) {
    remove(*evaluate, "business");
    remove(*evaluate, "composite");
  }
  if (ConfigNode* train = document.find("train")) remove(*train, "negative_sampling");
  // Which task comes first is between tasks: of a part of them, only its own entry can say.
  if (ConfigNode* labels = find_path(document, "train.labels")) remove(*labels, "curriculum");
  for (const std::string_view path : kByTask) {
    ConfigNode* by_task = find_path(document, path);
    if (by_task == nullptr) continue;
    for (const Task& task : config.tasks) {
      if (!left.contains(task.name)) remove(*by_task, task.name);
    }
  }
}

class ModelsReader {
 public:
  ModelsReader(ConfigReader& reader, const ConfigNode& document, Config& config,
               const ReadDocument& read)
      : reader_(reader), document_(document), config_(config), read_(read) {}

  void read_list(const ConfigNode& list) {
    if (list.kind != Kind::kList || list.items.empty()) {
      return reader_.complain("models",
                              "expected a list of models like {name: ple, model: "
                              "{backbone: ple}}");
    }
    for (std::size_t i = 0; i < list.items.size(); ++i) read_entry(list.items[i], i);
  }

 private:
  void read_entry(const ConfigNode& node, std::size_t index) {
    const ConfigNode* name = node.find("name");
    std::string key = "models." + std::to_string(index);
    reader_.remember(key, node.place);
    if (node.kind != Kind::kMap) {
      return reader_.complain(key, node.describe() + " is not a model; expected {name: …}");
    }
    if (name == nullptr) return reader_.complain_missing(key + ".name", "the model's name");
    reader_.remember(key + ".name", name->place);
    if (name->kind != Kind::kScalar || !is_word_of(name->text)) {
      return reader_.complain(key + ".name", name->describe() +
                                                 " is no name; expected at most 64 letters, "
                                                 "digits, . _ and -");
    }
    if (!names_.insert(name->text).second) {
      return reader_.complain(key + ".name", name->text + " is the name of two models");
    }
    key = "models." + name->text;
    reader_.remember(key, node.place);
    read_model(node, key, name->text);
  }

  void read_model(const ConfigNode& node, const std::string& key, const std::string& name) {
    ModelEntry entry;
    entry.name = name;
    entry.tasks =
        read_picked(reader_, node.find("tasks"), key + ".tasks", names_of(config_.tasks), "tasks");
    entry.features = read_picked(reader_, node.find("features"), key + ".features",
                                 names_of(config_.features), "features");
    const bool good = check_keys(node, key) && !entry.tasks.empty() && !entry.features.empty() &&
                      check_conditions(entry, key);
    if (!good) return;
    ConfigNode own = document_;
    remove(own, "models");
    remove(own, "twins");
    pick_tasks(own, config_, entry.tasks);
    if (entry.features.size() < config_.features.size()) {
      pick(*own.find("features"), entry.features);
      if (ConfigNode* evaluate = own.find("evaluate")) remove(*evaluate, "slices");
    }
    for (const std::string_view section : kModelSections) {
      const ConfigNode* change = node.find(section);
      if (change == nullptr) continue;
      ConfigNode* there = own.find(section);
      if (there == nullptr) {
        put(own, std::string(section), *change);
      } else {
        lay_over(*there, *change, std::string(section));
      }
    }
    Config read;
    read_(own, key + ".", read);
    entry.learner = std::move(read.learner);
    config_.models.push_back(std::move(entry));
  }

  bool check_keys(const ConfigNode& node, const std::string& key) {
    std::vector<std::string> known{"name", "tasks", "features"};
    known.insert(known.end(), kModelSections.begin(), kModelSections.end());
    bool good = true;
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const std::string& inner = node.keys[i];
      const ConfigNode& section = node.items[i];
      reader_.remember(key + "." + inner, section.place);
      if (std::find(known.begin(), known.end(), inner) == known.end()) {
        good = false;
        if (std::find(kTopKeys.begin(), kTopKeys.end(), inner) == kTopKeys.end()) {
          reader_.complain_unknown(section.place, key + ".", inner, known);
        } else {
          reader_.complain(key + "." + inner,
                           "is one for all models of the stream; expected it "
                           "at the top");
        }
      }
      for (std::size_t j = 0; j < section.keys.size(); ++j) {
        const std::string_view why = why_of_the_stream(inner, section.keys[j]);
        if (why.empty()) continue;
        good = false;
        const std::string full = key + "." + inner + "." + section.keys[j];
        reader_.remember(full, section.items[j].place);
        reader_.complain(
            full, "is one for all models (" + std::string(why) + "); expected it at the top");
      }
    }
    return good;
  }

  // A task without its condition is learned from the rows where that holds, which are not known
  // before the label is decided.
  bool check_conditions(const ModelEntry& entry, const std::string& key) {
    for (const int t : entry.tasks) {
      const Task& task = config_.tasks[static_cast<std::size_t>(t)];
      const bool alone = task.given >= 0 &&
                         !std::binary_search(entry.tasks.begin(), entry.tasks.end(), task.given);
      if (!alone || task.policy == FeedbackPolicy::kWait) continue;
      reader_.complain(
          key + ".tasks",
          task.name + " is given " + config_.tasks[static_cast<std::size_t>(task.given)].name +
              " and is learned before it is decided (" + std::string(choice_name(task.policy)) +
              "); expected its condition beside it");
      return false;
    }
    return true;
  }

  ConfigReader& reader_;
  const ConfigNode& document_;
  Config& config_;
  const ReadDocument& read_;
  std::set<std::string> names_;
};

void read_twins(ConfigReader& reader, const ConfigNode& node, Config& config) {
  if (!reader.is_mapping(node, "twins")) return;
  ConfigNode rest = node;
  remove(rest, "tasks");
  if (const ConfigNode* tasks = node.find("tasks")) {
    for (const int t : read_picked(reader, tasks, "twins.tasks", names_of(config.tasks), "tasks")) {
      config.twins.tasks.push_back(config.tasks[static_cast<std::size_t>(t)].name);
    }
  }
  reader.read_fields(rest, "twins.", config.twins.alarm, config.twins.alarm.fields());
  for (const std::string& name : config.twins.tasks) {
    const auto at = std::find_if(config.tasks.begin(), config.tasks.end(),
                                 [&](const Task& task) { return task.name == name; });
    if (at->given >= 0 && at->policy != FeedbackPolicy::kWait) {
      reader.complain("twins.tasks", name + " is learned before it is decided (" +
                                         std::string(choice_name(at->policy)) +
                                         "): no twin can learn it without its condition");
    }
    for (const ModelEntry& entry : config.models) {
      if (entry.name != "twin." + name) continue;
      reader.complain("twins.tasks", "the model " + entry.name + " has the name of a twin");
    }
  }
  const bool any_has_all =
      config.models.empty() ||
      std::any_of(config.models.begin(), config.models.end(), [&](const ModelEntry& entry) {
        return entry.tasks.size() == config.tasks.size();
      });
  if (!any_has_all && !config.twins.tasks.empty()) {
    reader.complain("twins.tasks", "no model has every task, which is what a twin is held against");
  }
  if (config.tasks.size() == 1 && !config.twins.tasks.empty()) {
    reader.complain("twins.tasks", "with one task there is nothing to transfer");
  }
}

}  // namespace

std::string_view why_of_the_stream(std::string_view section, std::string_view key) {
  for (const OfTheStream& of : kOfTheStream) {
    if (of.section == section && of.key == key) return of.why;
  }
  return {};
}

void read_models(ConfigReader& reader, const ConfigNode& document, Config& config,
                 const ReadDocument& read) {
  if (const ConfigNode* list = document.find("models")) {
    ModelsReader(reader, document, config, read).read_list(*list);
  }
  if (const ConfigNode* twins = document.find("twins")) read_twins(reader, *twins, config);
}

void learn_alone(LearnerOptions& options, const std::string& task) {
  options.balance = {};
  options.balance.method = BalanceMethod::kFixed;
  LabelOptions& labels = options.train.labels;
  labels.curriculum = {};
  const auto is_of_another = [&](const auto& entry) { return entry.first != task; };
  std::erase_if(labels.ratio, is_of_another);
  std::erase_if(labels.oversample, is_of_another);
  std::erase_if(options.train.recalibrate, is_of_another);
  options.evaluate.business.clear();
  options.evaluate.composite.clear();
}

std::vector<ModelPlan> model_plans(const Config& config) {
  const Schema stream = config.schema();
  std::vector<ModelPlan> plans;
  for (const ModelEntry& entry : config.models) {
    plans.push_back({entry.name, Projection(stream, entry.tasks, entry.features), entry.learner});
  }
  if (plans.empty()) plans.push_back({config.name, Projection(stream), config.learner});
  for (const std::string& task : config.twins.tasks) {
    ModelPlan twin{
        "twin." + task,
        Projection(stream, {stream.find_task(task)}, plans.front().projection.features()),
        plans.front().options};
    learn_alone(twin.options, task);
    twin.twin_of = stream.find_task(task);
    plans.push_back(std::move(twin));
  }
  return plans;
}

Config config_of(const Config& config, const ModelPlan& plan) {
  Config one = config;
  one.name = plan.name;
  one.learner = plan.options;
  one.features = plan.projection.schema().features();
  one.tasks = plan.projection.schema().tasks();
  one.labels.clear();
  for (const int t : plan.projection.tasks()) {
    one.labels.push_back(config.labels[static_cast<std::size_t>(t)]);
  }
  one.models.clear();
  one.twins = {};
  return one;
}

}  // namespace millrace
