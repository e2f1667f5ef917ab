#include "ops/compare/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "ops/compare/recorder.h"
#include "ops/config/document.h"
#include "ops/config/models.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostAlone = 8, kMostLinear = 16;
// For the scores of all outputs, row by row.
constexpr std::size_t kScoredBytes = 256 << 20;

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "millrace-compare-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), pattern + ": cannot be made");
    }
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A file's name as the name of a model.
std::string name_of(const std::string& file) {
  std::string name = fs::path(file).stem().string();
  for (char& c : name) {
    const bool good = ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
    if (!good) c = '_';
  }
  return name.substr(0, 64);
}

// The entry of `models` that a file is.
Result<ConfigNode> entry_of(const std::string& file, std::vector<Problem>& problems) {
  const auto text = read_config_file(file);
  if (!text) return text.error();
  auto node = parse_document(*text, file, problems);
  ConfigNode entry;
  if (node) entry = std::move(*node);
  if (entry.kind == ConfigNode::Kind::kNothing) entry.kind = ConfigNode::Kind::kMap;
  entry.place = {file, std::max(1, entry.place.line)};
  if (entry.kind == ConfigNode::Kind::kMap && entry.find("name") == nullptr) {
    ConfigNode name;
    name.kind = ConfigNode::Kind::kScalar;
    name.place = entry.place;
    name.text = name_of(file);
    entry.keys.push_back("name");
    entry.items.push_back(std::move(name));
  }
  return entry;
}

// Every task of the first model, learned alone.
void add_single_tasks(Config& config, SingleTask wanted) {
  if (config.models.empty()) {
    const ModelPlan only = model_plans(config).front();
    config.models.push_back(
        {only.name, only.projection.tasks(), only.projection.features(), only.options});
  }
  const ModelEntry first = config.models.front();
  const std::size_t count = first.tasks.size();
  const bool add = wanted == SingleTask::kOn ||
                   (wanted == SingleTask::kAuto && 2 <= count && count <= kMostAlone);
  for (std::size_t k = 0; add && k < count; ++k) {
    const Task& task = config.tasks[static_cast<std::size_t>(first.tasks[k])];
    // One that is learned before it is decided cannot do without its condition.
    if (task.given >= 0 && task.policy != FeedbackPolicy::kWait) continue;
    ModelEntry alone = first;
    alone.name = "single." + task.name;
    alone.tasks = {first.tasks[k]};
    learn_alone(alone.learner, task.name);
    config.models.push_back(std::move(alone));
  }
}

std::optional<double> auc_of(const Figures& figures) { return figures.auc; }
std::optional<double> log_loss_of(const Figures& figures) { return figures.log_loss; }
std::optional<double> rmse_of(const Figures& figures) { return figures.rmse; }
std::optional<double> minus_rmse_of(const Figures& figures) {
  return figures.rmse ? std::optional(-*figures.rmse) : std::nullopt;
}

// How many rows each output may keep, so that all binary ones together are within their memory.
std::size_t most_scored_rows(const std::vector<ModelPlan>& plans, std::size_t linear_outputs) {
  std::size_t outputs = linear_outputs;
  for (const ModelPlan& plan : plans) {
    for (const Task& task : plan.projection.schema().tasks()) {
      outputs += task.kind == TaskKind::kBinary ? 1 : 0;
    }
  }
  // Half as much again while they grow.
  const std::size_t fit = kScoredBytes * 2 / 3 / sizeof(ScoredRows::Row);
  return std::clamp<std::size_t>(fit / std::max<std::size_t>(1, outputs), 1'000,
                                 ComparedOutput::kMostScoredRows);
}

// Of task `task` of one model: against the first model, and against the task alone.
ComparedTask compared(const ComparedOutput& own, const ComparedOutput* first,
                      const ComparedOutput* alone, const BootstrapOptions& options) {
  ComparedTask out;
  const bool binary = own.binary();
  if (first != nullptr) {
    const PairedUnits units = paired_units(*first, own);
    out.by_user = units.by_user;
    const auto between = [&](const FigureOf& figure) {
      return bootstrap_difference(units.a, units.b, binary, figure, options);
    };
    if (binary) {
      out.auc = between(auc_of);
      out.log_loss = between(log_loss_of);
    } else {
      out.rmse = between(rmse_of);
    }
  }
  if (alone != nullptr) {
    const PairedUnits units = paired_units(*alone, own);
    out.by_user = units.by_user;
    out.gain =
        bootstrap_difference(units.a, units.b, binary, binary ? auc_of : minus_rmse_of, options);
  }
  return out;
}

ComparedModel described(const TrainerReport& report, const ModelPlan& plan, double seconds) {
  ComparedModel model;
  model.report = report;
  model.is_alone = plan.name.starts_with("single.");
  const Model<float> trained(input_schema(plan.projection.schema(), plan.options.model),
                             plan.options.model);
  model.parameters = count_values(trained.parameters());
  for (const TableReport& table : report.tables) {
    model.embedding_rows += table.rows;
    model.embedding_bytes += table.bytes;
  }
  model.seconds = seconds;
  for (const CompositeReport& composite : report.composite) {
    if (composite.window == "all") model.composite = composite.value;
  }
  return model;
}

void compare_tasks(const std::vector<ModelPlan>& plans, const Recorder& recorder,
                   Comparison& comparison) {
  for (std::size_t m = 0; m < plans.size(); ++m) {
    for (std::size_t k = 0; k < plans[m].projection.tasks().size(); ++k) {
      const int task = plans[m].projection.tasks()[k];
      const std::string& name = plans[m].projection.schema().tasks()[k].name;
      const ComparedOutput* alone = nullptr;
      for (std::size_t other = 0; other < plans.size() && !comparison.models[m].is_alone; ++other) {
        if (plans[other].name == "single." + name) alone = recorder.output(other, task);
      }
      comparison.models[m].tasks[name] =
          compared(*recorder.output(m, task), m == 0 ? nullptr : recorder.output(0, task), alone,
                   comparison.bootstrap);
    }
  }
}

// Whether there is a linear baseline of the stream's tasks; if not, `why_not` says so where
// somebody may wonder.
bool has_linear(const Schema& stream, LinearModels wanted, std::string& why_not) {
  if (wanted == LinearModels::kOff) return false;
  const std::size_t count = LinearBaseline::tasks_of(stream).size();
  if (count == 0) {
    why_not = "no task is binary and learned when it is decided";
    return false;
  }
  if (wanted == LinearModels::kAuto && count > kMostLinear) {
    why_not =
        fmt::format("{} binary tasks are more than {}; --linear asks for it", count, kMostLinear);
    return false;
  }
  return true;
}

void compare_with_linear(const std::vector<ModelPlan>& plans, const Recorder& recorder,
                         const LinearComparison& linear, Comparison& comparison) {
  for (std::size_t m = 0; m < plans.size(); ++m) {
    ComparedModel& model = comparison.models[m];
    for (std::size_t k = 0; k < plans[m].projection.tasks().size(); ++k) {
      const int task = plans[m].projection.tasks()[k];
      if (linear.output(task) == nullptr) continue;
      const TaskReport& report = model.report.tasks[k];
      model.tasks[report.name].linear =
          linear.against(task, *recorder.output(m, task), report.all, model.report.steps,
                         model.report.rows, comparison.bootstrap);
    }
  }
}

// The interval of a pair by replicates, where the tasks have it.
std::optional<Interval> bootstrap_of(const Comparison& comparison, const AucPair& pair) {
  for (const ComparedModel& model : comparison.models) {
    if (model.report.model != pair.model) continue;
    const ComparedTask& task = model.tasks.at(pair.task);
    if (pair.against == kLinearName) {
      return task.linear ? task.linear->auc.interval : std::nullopt;
    }
    if (pair.against == "single." + pair.task) return task.gain;
    if (pair.against == comparison.models.front().report.model) return task.auc;
  }
  return std::nullopt;
}

void compare_pairs(const Config& config, const std::vector<ModelPlan>& plans,
                   const Recorder& recorder, const LinearComparison* linear,
                   Comparison& comparison) {
  for (std::size_t k = 0; k < config.tasks.size(); ++k) {
    if (config.tasks[k].kind != TaskKind::kBinary) continue;
    const std::string& task = config.tasks[k].name;
    std::vector<NamedOutput> outputs;
    for (std::size_t m = 0; m < plans.size(); ++m) {
      const ComparedOutput* output = recorder.output(m, static_cast<int>(k));
      if (output) outputs.push_back({plans[m].name, output, comparison.models[m].is_alone});
    }
    const ComparedOutput* of_linear = linear ? linear->output(static_cast<int>(k)) : nullptr;
    if (of_linear) outputs.push_back({std::string(kLinearName), of_linear, true});
    for (AucPair& pair : pairs_of(task, outputs, comparison.bootstrap.confidence)) {
      pair.bootstrap = bootstrap_of(comparison, pair);
      comparison.auc_pairs.push_back(std::move(pair));
    }
  }
}

std::vector<LineChart> charts_of(const Config& config, const std::vector<ModelPlan>& plans,
                                 const Recorder& recorder, const LinearComparison* linear) {
  std::vector<std::string> tasks, models;
  std::vector<std::map<std::string, const ComparedOutput*>> outputs;
  for (const Task& task : config.tasks) tasks.push_back(task.name);
  for (std::size_t m = 0; m < plans.size(); ++m) {
    models.push_back(plans[m].name);
    auto& of_model = outputs.emplace_back();
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      const ComparedOutput* output = recorder.output(m, static_cast<int>(k));
      if (output != nullptr) of_model[tasks[k]] = output;
    }
  }
  if (linear != nullptr) {
    models.emplace_back(kLinearName);
    auto& of_linear = outputs.emplace_back();
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      const ComparedOutput* output = linear->output(static_cast<int>(k));
      if (output != nullptr) of_linear[tasks[k]] = output;
    }
  }
  return progress_charts(tasks, models, outputs);
}

}  // namespace

Result<LoadedConfig> load_models(const std::string& path, const std::vector<std::string>& files,
                                 const std::vector<ConfigOverride>& overrides) {
  const auto text = read_config_file(path);
  if (!text) return text.error();
  std::vector<Problem> problems;
  auto root = parse_config_tree(*text, path, problems);
  if (!root) return load_config_text(*text, path, overrides);  // says what is wrong with it
  if (!files.empty()) {
    ConfigNode list;
    list.kind = ConfigNode::Kind::kList;
    list.place = {files.front(), 1};
    for (const std::string& file : files) {
      auto entry = entry_of(file, problems);
      if (!entry) return entry.error();
      list.items.push_back(std::move(entry).value());
    }
    if (ConfigNode* there = root->find("models")) {
      *there = std::move(list);
    } else {
      root->keys.push_back("models");
      root->items.push_back(std::move(list));
    }
  }
  return load_config_tree(std::move(*root), std::move(problems), overrides);
}

Result<CompareResult> compare(Config config, const CompareOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const TemporaryFolder folder;
  config.store.path = folder.path() + "/state";
  config.store.commit_every = std::nullopt;
  config.twins = {};
  add_single_tasks(config, options.single_task);
  const std::vector<ModelPlan> plans = model_plans(config);
  CompareResult result;
  const Schema stream(config.features, config.tasks);
  const bool linear_wanted = has_linear(stream, options.linear, result.comparison.no_linear);
  const std::size_t linear_outputs =
      linear_wanted ? LinearBaseline::tasks_of(stream).size() * LinearBaselineOptions{}.rates.size()
                    : 0;
  const std::size_t scored_rows = most_scored_rows(plans, linear_outputs);
  Recorder recorder(plans, scored_rows);
  const auto linear = linear_wanted ? std::make_unique<LinearComparison>(stream, scored_rows)
                                    : std::unique_ptr<LinearComparison>();
  EngineOptions engine_options;
  engine_options.config = config;
  engine_options.files = options.events;
  engine_options.flush = true;
  engine_options.clock = wall_clock;
  engine_options.log = options.log;
  engine_options.stopping = options.stopping;
  engine_options.observe = [&](Trainers& trainers) {
    recorder.observe(trainers);
    if (linear) linear->follow(trainers);
  };
  auto made = Engine::make(std::move(engine_options));
  if (!made) return made.error();
  Engine& engine = **made;
  engine.open();
  engine.connect();
  result.ended = engine.run(options.stopping, options.tick);
  engine.finish();
  if (!result.ended) return result;
  recorder.finish();
  Comparison& comparison = result.comparison;
  comparison.bootstrap = options.bootstrap;
  const auto reports = engine.reports();
  for (std::size_t m = 0; m < plans.size(); ++m) {
    comparison.models.push_back(
        described(reports->models[m], plans[m], engine.trainer(m).step_seconds_total));
  }
  compare_tasks(plans, recorder, comparison);
  if (linear) {
    comparison.linear = linear->finish();
    compare_with_linear(plans, recorder, *linear, comparison);
  }
  compare_pairs(config, plans, recorder, linear.get(), comparison);
  const Accounts& accounts = engine.status().committed.accounts;
  comparison.events = accounts.events;
  comparison.rows = accounts.rows;
  if (options.wants_charts) result.charts = charts_of(config, plans, recorder, linear.get());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  comparison.seconds = took.count();
  return result;
}

}  // namespace millrace
