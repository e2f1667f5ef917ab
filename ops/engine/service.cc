#include "ops/engine/service.h"

#include <chrono>
#include <thread>
#include <utility>

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

}  // namespace

struct Service::Parts {
  std::unique_ptr<TrainerCommands> commands;  // before the engine, whose trainer takes them
  std::unique_ptr<Engine> engine;
  ScoreFormula formula;
  EngineLog log;
  std::unique_ptr<Server> server;
  /// Null until the server is there: its threads may ask for metrics before `start` has returned.
  std::atomic<const ServeProbe*> serve_probe = nullptr;

  Result<SnapshotInfo> snapshot();
  Result<std::optional<std::string>> explain(std::string_view impression_id);
};

Result<std::unique_ptr<Service>> Service::make(Config config, EngineLog log,
                                               std::function<bool()> stopping) {
  auto formula = ScoreFormula::parse(config.score, task_names(config.tasks));
  if (!formula) return Error{"score: " + formula.error().message};
  EngineOptions options;
  options.config = std::move(config);
  options.live = true;
  options.clock = wall_clock;
  options.log = log;
  options.stopping = std::move(stopping);
  auto commands = std::make_unique<TrainerCommands>();
  options.commands = commands.get();
  auto engine = Engine::make(std::move(options));
  if (!engine) return engine.error();
  return std::unique_ptr<Service>(new Service(std::unique_ptr<Parts>(
      new Parts{std::move(commands), std::move(engine).value(), std::move(formula).value(),
                std::move(log), nullptr, nullptr})));
}

Service::Service(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Service::~Service() = default;

void Service::start() {
  Parts& p = *parts_;
  p.engine->open();
  const Config& config = p.engine->config();
  ServeParts serve;
  serve.model = config.name;
  serve.schema = &p.engine->schema();
  serve.model_options = config.learner.model;
  serve.serving = &p.engine->serving();
  serve.formula = &p.formula;
  serve.clock = wall_clock;
  serve.metrics = [&p] { return export_metrics(*p.engine, p.serve_probe.load(), wall_clock()); };
  serve.tasks = [&p] { return *p.engine->report(); };
  serve.join = [&p](std::string_view id) { return p.explain(id); };
  serve.command = [&p](TrainerCommand command) {
    return p.commands->run(std::move(command), Duration{5'000});
  };
  serve.snapshot = [&p] { return p.snapshot(); };
  serve.log = p.log;
  auto server = Server::start(config.serve, std::move(serve));
  if (!server) throw StartError(server.error().message);
  p.server = std::move(server).value();
  p.serve_probe = &p.server->probe();
  p.log("info", "serving at http://" +
                    config.serve.listen.substr(0, config.serve.listen.rfind(':')) + ":" +
                    std::to_string(p.server->port()));
  p.engine->connect();
}

Result<std::optional<std::string>> Service::Parts::explain(std::string_view impression_id) {
  auto found = engine->explain(impression_id);
  if (!found) return found.error();
  if (!*found) return std::optional<std::string>();
  return std::optional(
      join_text(impression_id, **found, engine->schema(), engine->config().events));
}

Result<SnapshotInfo> Service::Parts::snapshot() {
  try {
    return engine->store().snapshot(wall_clock(), engine->config().store.snapshots.keep);
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

bool Service::run(const std::atomic<bool>& stop, const std::function<void(const Progress&)>& tick) {
  Parts& p = *parts_;
  try {
    p.engine->run(stop, tick);
  } catch (const std::exception& error) {
    p.engine->fail(std::string("reading failed: ") + error.what());
  }
  if (p.engine->failure().happened()) {
    p.log("error", p.engine->failure().message() +
                       "; learning has stopped, scores are served from memory until the end");
    while (!stop) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (tick) tick({});
    }
  }
  p.server->drain();
  bool well = true;
  try {
    p.engine->finish();
  } catch (const std::exception& error) {
    p.log("error", error.what());
    well = false;
  }
  p.server->stop(Duration{5000});
  return well;
}

int Service::port() const { return parts_->server->port(); }
const Engine& Service::engine() const { return *parts_->engine; }
const ServeProbe& Service::serve_probe() const { return parts_->server->probe(); }

}  // namespace millrace
