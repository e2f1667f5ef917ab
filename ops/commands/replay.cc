#include "ops/commands/replay.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ops/commands/migrate.h"
#include "ops/commands/with_config.h"
#include "ops/engine/engine.h"
#include "ops/files.h"
#include "ops/log.h"
#include "ops/progress.h"
#include "ops/report.h"
#include "ops/signals.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

struct Arguments {
  ConfigArguments config;
  std::vector<std::string> events;
  bool flush = false, migrate = false;
  std::string rows, dead_letters, report;
};

std::optional<std::string> path_or_none(const std::string& path) {
  return path.empty() ? std::nullopt : std::optional<std::string>(path);
}

// A file that is read, or written twice, must not be written over. Empty where all is well.
std::string clash_of_paths(const Arguments& arguments) {
  std::set<std::string> taken;
  auto path_of = [](const std::string& path) {
    std::error_code unknown;
    return std::filesystem::weakly_canonical(path, unknown).string();
  };
  for (const std::string& path : arguments.events) taken.insert(path_of(path));
  const std::pair<const char*, const std::string*> outputs[] = {
      {"--rows", &arguments.rows},
      {"--dead-letters", &arguments.dead_letters},
      {"--report", &arguments.report}};
  for (const auto& [option, path] : outputs) {
    if (!path->empty() && !taken.insert(path_of(*path)).second) {
      return std::string(option) + " " + *path + ": the file is named twice; expected another one";
    }
  }
  return "";
}

int replay(const Arguments& arguments, const LoadedConfig& loaded) {
  if (arguments.migrate && !migrate_and_tell(loaded.config)) return kExitBadConfig;
  const auto start = std::chrono::steady_clock::now();
  const std::atomic<bool>& stop = stop_on_signals();
  EngineOptions options;
  options.config = loaded.config;
  options.files = arguments.events;
  options.flush = arguments.flush;
  options.rows = path_or_none(arguments.rows);
  options.dead_letters = path_or_none(arguments.dead_letters);
  options.clock = wall_clock;
  options.log = log_line;
  options.stopping = [&stop] { return stop.load(); };
  auto made = Engine::make(std::move(options));
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().message.c_str());
    return kExitBadConfig;
  }
  Engine& engine = **made;
  try {
    engine.open();
    engine.connect();
  } catch (const IdentityError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kExitBadConfig;
  }
  ProgressBar bar("replay");
  const bool ended = engine.run(
      [&stop] { return stop.load(); },
      [&](const Progress& progress) { bar.show(progress.events, progress.done, progress.in_all); });
  engine.finish();
  if (!ended) {
    std::fprintf(stderr, "stopped; everything taken is committed, the same command goes on\n");
    return kExitFailed;
  }
  bar.finish();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const CommittedCounts counts = engine.status().committed;
  const std::string report = replay_report({.counts = counts,
                                            .trainers = *engine.reports(),
                                            .stages = engine.stages(),
                                            .seconds = took.count(),
                                            .digest = engine.store().digest()});
  if (!arguments.report.empty()) write_file(arguments.report, report + "\n");
  std::printf("%s\n", report.c_str());
  return kExitDone;
}

}  // namespace

void add_replay_command(Command& program) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(
      "replay", "Takes files, or the topics up to their present ends, as fast as it goes.");
  add_config_options(command, arguments->config);
  command.add_option("--events", arguments->events,
                     "A file of events, one JSON object a line; several are merged by time.");
  command.add_flag("--flush", arguments->flush, "Decide all that still waits at the end.");
  add_migrate_option(command, arguments->migrate);
  command.add_option("--rows", arguments->rows, "Write each joined row to this file.");
  command.add_option("--dead-letters", arguments->dead_letters,
                     "Write records that cannot become events to this file.");
  command.add_option("--report", arguments->report, "Write the report to this file, too.");
  command.run([arguments] {
    if (const std::string clash = clash_of_paths(*arguments); !clash.empty()) {
      std::fprintf(stderr, "millrace replay: %s\n", clash.c_str());
      return kExitUsage;
    }
    return with_config(arguments->config,
                       [&](const LoadedConfig& loaded) { return replay(*arguments, loaded); });
  });
}

}  // namespace millrace
