#include "ops/engine/service.h"

#include <chrono>
#include <mutex>
#include <utility>

#include "learner/model/stem.h"
#include "learner/publish/score_formula.h"
#include "ops/join_text.h"
#include "ops/metrics/export.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

std::vector<std::string> task_names(const std::vector<Task>& tasks) {
  std::vector<std::string> names;
  names.reserve(tasks.size());
  for (const Task& task : tasks) names.push_back(task.name);
  return names;
}

// What an engine told last; answered while there is none.
struct LastWords {
  std::mutex mutex;
  std::string metrics;
  TrainerReports reports;

  void hear(const Engine& engine, std::uint64_t past_failures) {
    std::string text = export_engine(engine, past_failures, wall_clock());
    const std::lock_guard lock(mutex);
    metrics = std::move(text);
    reports = *engine.reports();
  }
};

}  // namespace

struct Service::Parts {
  Parts(Config given, ScoreFormula parsed, EngineLog logged)
      : config(std::move(given)),
        schema(config.schema()),
        started(wall_clock()),
        serving(input_schema(schema, config.learner.model)),
        served(serving),
        formula(std::move(parsed)),
        log(std::move(logged)) {}

  const Config config;
  const Schema schema;
  const EventTime started;
  TrainerCommands commands;  // outlives the engines, whose trainers take them
  bool serves_all() const {
    return config.models.size() > 1 && config.serve.models == ServedChoice::kAll;
  }
  ServingModel serving;
  ServedModels served;
  ScoreFormula formula;
  EngineLog log;
  LastWords last_words;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<Server> server;
  /// Null until the server is there: its threads may ask for metrics before `start` has returned.
  std::atomic<const ServeProbe*> serve_probe = nullptr;

  ServeParts serve_parts();
  std::string metrics();
  TrainerReports reports();
  JoinAnswer<std::string> explain(std::string_view impression_id);
};

Result<std::unique_ptr<Service>> Service::make(Config config, EngineLog log,
                                               std::function<bool()> stopping) {
  auto formula = ScoreFormula::parse(config.score, task_names(config.tasks));
  if (!formula) return Error{"score: " + formula.error().message};
  auto parts = std::make_unique<Parts>(std::move(config), std::move(formula).value(), log);
  EngineOptions options;
  options.config = parts->config;
  options.live = true;
  options.serving = &parts->serving;
  if (parts->serves_all()) options.served = &parts->served;
  options.clock = wall_clock;
  options.log = std::move(log);
  options.stopping = std::move(stopping);
  options.commands = &parts->commands;
  const auto possible = Engine::make(options);  // what only a library can judge is said here
  if (!possible) return possible.error();
  parts->supervisor = std::make_unique<Supervisor>(Supervisor::Options{
      .engine = std::move(options), .before_end = [p = parts.get()](const Engine& engine) {
        p->last_words.hear(engine, p->supervisor->past_failures());
      }});
  return std::unique_ptr<Service>(new Service(std::move(parts)));
}

Service::Service(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Service::~Service() = default;

ServeParts Service::Parts::serve_parts() {
  ServeParts serve;
  serve.model = config.name;
  serve.schema = &schema;
  serve.model_options = config.learner.model;
  serve.serving = &serving;
  if (serves_all()) serve.served = &served;
  serve.formula = &formula;
  serve.clock = wall_clock;
  serve.metrics = [this] { return metrics(); };
  serve.tasks = [this] {
    const TrainerReports all = reports();
    return all.models.empty() ? TrainerReport{} : all.champion();
  };
  serve.models = [this] { return reports(); };
  serve.join = [this](std::string_view id) { return explain(id); };
  serve.command = [this](TrainerCommand command) {
    return commands.run(std::move(command), Duration{5'000});
  };
  serve.learning = [this] { return supervisor->status(); };
  serve.snapshot = [this] { return supervisor->snapshot(); };
  serve.roll_back = [this](const std::string& snapshot, Offsets offsets) {
    return supervisor->roll_back(snapshot, offsets);
  };
  serve.log = log;
  return serve;
}

void Service::start() {
  Parts& p = *parts_;
  p.supervisor->start();
  auto server = Server::start(p.config.serve, p.serve_parts());
  if (!server) throw StartError(server.error().message);
  p.server = std::move(server).value();
  p.serve_probe = &p.server->probe();
  p.log("info", "serving at http://" +
                    p.config.serve.listen.substr(0, p.config.serve.listen.rfind(':')) + ":" +
                    std::to_string(p.server->port()));
}

std::string Service::Parts::metrics() {
  const EventTime now = wall_clock();
  ServiceMetrics of_service;
  of_service.started = started;
  of_service.learning = supervisor->status();
  of_service.rollbacks = &supervisor->rollbacks();
  of_service.serving = &serving;
  if (serves_all()) of_service.served = &served;
  for (const ModelEntry& model : config.models) of_service.models.push_back(model.name);
  if (config.models.empty()) of_service.models.push_back(config.name);
  of_service.serve = serve_probe.load();
  std::string text = export_service(of_service, now);
  supervisor->read([&](const Engine* engine) {
    if (engine != nullptr) last_words.hear(*engine, supervisor->past_failures());
  });
  const std::lock_guard lock(last_words.mutex);
  return text + last_words.metrics;
}

JoinAnswer<std::string> Service::Parts::explain(std::string_view impression_id) {
  JoinAnswer<std::string> answer =
      JoinSilence{JoinSilence::Why::kFailed, "learning does not run just now"};
  supervisor->ask([&](Engine& engine) {
    auto found = engine.explain(impression_id);
    if (!found) {
      answer = found.error();
    } else if (!*found) {
      answer = std::optional<std::string>();
    } else {
      answer = std::optional(join_text(impression_id, **found, schema, config.events));
    }
  });
  return answer;
}

TrainerReports Service::Parts::reports() {
  std::shared_ptr<const TrainerReports> now;
  supervisor->read([&](const Engine* engine) {
    if (engine != nullptr) now = engine->reports();
  });
  if (now) return *now;
  const std::lock_guard lock(last_words.mutex);
  return last_words.reports;
}

bool Service::run(const std::atomic<bool>& stop, const std::function<void(const Progress&)>& tick) {
  Parts& p = *parts_;
  p.supervisor->run(stop, tick);
  p.server->drain();
  const bool well = p.supervisor->finish();
  p.server->stop(Duration{5000});
  return well;
}

int Service::port() const { return parts_->server->port(); }
const ServingModel& Service::serving() const { return parts_->serving; }
void Service::read(const std::function<void(const Engine*)>& reader) const {
  parts_->supervisor->read(reader);
}
const ServeProbe& Service::serve_probe() const { return parts_->server->probe(); }

}  // namespace millrace
