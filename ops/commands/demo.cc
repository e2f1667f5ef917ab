#include "ops/commands/demo.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ops/config/load.h"
#include "ops/demo/embedded_broker.h"
#include "ops/demo/screen.h"
#include "ops/demo/simulated_users.h"
#include "ops/engine/service.h"
#include "ops/log.h"
#include "ops/signals.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

// The contract's shop, with windows of seconds so that every label matures before one's eyes.
constexpr const char* kConfig = R"(name: shop
events:
  impression: {topic: impressions}
  click:      {topic: clicks, window: 4s}
  conversion: {topic: conversions, window: 10s}
  dwell:      {topic: dwell, window: 9s}
  like:       {topic: likes, window: 9s}
join: {allowed_lateness: 500ms, max_skew: 500ms}
features:
  - {name: user_id,  type: categorical, dimension: 16, context: true}
  - {name: country,  type: categorical, dimension: 4,  context: true}
  - {name: item_id,  type: categorical, dimension: 16}
  - {name: genres,   type: bag,         dimension: 8}
  - {name: price,    type: numeric,     transform: log1p}
  - {name: taste,    type: dense,       width: 8, context: true}
tasks:
  - {name: ctr,   label: click}
  - {name: cvr,   label: conversion, given: ctr}
  - {name: dwell, label: dwell, kind: regression, transform: log1p, given: ctr, entire_space: false}
  - {name: like,  label: like, given: ctr, entire_space: false}
score: ctr * cvr^0.5 * (1 + like)
)";

struct Arguments {
  std::optional<std::int64_t> seconds;
  std::int64_t rate = 1500;
  std::int64_t port = 8080;
};

// A folder that goes with the demo.
class DemoFolder {
 public:
  DemoFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "millrace-demo-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder: " + name);
    path_ = name;
  }
  DemoFolder(const DemoFolder&) = delete;
  DemoFolder& operator=(const DemoFolder&) = delete;
  ~DemoFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The daemon on the wanted port, or on a free one where that is taken.
std::unique_ptr<Service> start_service(const std::string& brokers, const std::string& folder,
                                       std::int64_t port) {
  for (const std::int64_t one : {port, std::int64_t{0}}) {
    const auto loaded =
        load_config_text(kConfig, "demo",
                         {{"kafka.brokers", brokers, "demo"},
                          {"store.path", folder + "/state-" + std::to_string(one), "demo"},
                          {"serve.listen", "127.0.0.1:" + std::to_string(one), "demo"}});
    if (!loaded) throw std::runtime_error(loaded.error().message);
    auto service = Service::make(loaded->config, [](std::string_view level, const std::string& m) {
      if (level == "warning" || level == "error") log_line(level, m);
    });
    if (!service) throw std::runtime_error(service.error().message);
    try {
      (*service)->start();
      return std::move(service).value();
    } catch (const StartError&) {
      if (one == 0) throw;
    }
  }
  return nullptr;
}

DemoView view_of(const Service& service, const SimulatedUsers& users, double seconds) {
  DemoView view;
  view.seconds = seconds;
  view.sent = users.sent();
  service.read([&](const Engine* engine) {
    if (engine == nullptr) return;
    const std::shared_ptr<const TrainerReport> report = engine->report();
    view.taken = engine->pipeline().events;
    view.trained = report->rows;
    view.tasks = report->tasks;
  });
  view.address = "http://127.0.0.1:" + std::to_string(service.port());
  for (const TaskReport& task : view.tasks) view.best_auc.push_back(users.best_auc(task.name));
  const ServingModel::Pin pin = service.serving().pin();
  view.version = print_version(pin.version());
  if (pin.seen().is_finite()) {
    view.age_seconds = static_cast<double>((wall_clock() - pin.seen()).count()) / 1000;
  }
  return view;
}

int demo(const Arguments& arguments) {
  const DemoFolder folder;
  const EmbeddedBroker broker({"impressions", "clicks", "conversions", "dwell", "likes"}, 2);
  const std::unique_ptr<Service> service =
      start_service(broker.address(), folder.path(), arguments.port);
  const std::atomic<bool>& signalled = stop_on_signals();
  const auto start = std::chrono::steady_clock::now();
  auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const SimulatedUsers users({.start = wall_clock(),
                              .impressions_per_second = static_cast<double>(arguments.rate),
                              .users = 2000,
                              .items = 300,
                              .click_delay = Duration{150},
                              .conversion_delay = Duration{500},
                              .drift = Duration{600'000}},
                             broker.address(),
                             {{"impression", "impressions"},
                              {"click", "clicks"},
                              {"conversion", "conversions"},
                              {"dwell", "dwell"},
                              {"like", "likes"}});
  DemoScreen screen;
  std::atomic<bool> stop{false};
  const bool well = service->run(stop, [&](const Progress&) {
    if (signalled || (arguments.seconds && seconds() >= double(*arguments.seconds))) stop = true;
    screen.show(view_of(*service, users, seconds()));
  });
  screen.summary(view_of(*service, users, seconds()));
  return well ? kExitDone : kExitFailed;
}

}  // namespace

void add_demo_command(Command& program) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(
      "demo", "Everything at once: an embedded broker, simulated users, the daemon and its API.");
  command.add_option("--seconds", arguments->seconds, "End after this long, with a summary.", 1);
  command.add_option("--rate", arguments->rate, "Impressions per second.", 1);
  command.add_option("--port", arguments->port, "Port of the API; a free one where it is taken.",
                     0);
  command.run([arguments] { return demo(*arguments); });
}

}  // namespace millrace
