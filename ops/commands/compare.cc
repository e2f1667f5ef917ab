#include "ops/commands/compare.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "ops/commands/with_config.h"
#include "ops/compare/compare.h"
#include "ops/files.h"
#include "ops/log.h"
#include "ops/progress.h"
#include "ops/signals.h"

namespace millrace {
namespace {

struct Arguments {
  ConfigArguments config;
  std::vector<std::string> events, models;
  std::string report, plot;
  bool single_task = false, no_single_task = false, linear = false, no_linear = false;
  std::int64_t replicates = 1'000;
};

// "a.yaml,b.yaml", and the option may be repeated.
std::vector<std::string> split(const std::vector<std::string>& lists) {
  std::vector<std::string> files;
  for (const std::string& list : lists) {
    for (std::size_t from = 0; from <= list.size();) {
      const std::size_t comma = std::min(list.find(',', from), list.size());
      if (comma > from) files.push_back(list.substr(from, comma - from));
      from = comma + 1;
    }
  }
  return files;
}

int run(const Arguments& arguments, const std::vector<std::string>& files,
        const LoadedConfig& loaded) {
  const std::atomic<bool>& stop = stop_on_signals();
  ProgressBar bar("compare");
  CompareOptions options;
  options.events = arguments.events;
  options.single_task = arguments.single_task      ? SingleTask::kOn
                        : arguments.no_single_task ? SingleTask::kOff
                                                   : SingleTask::kAuto;
  options.linear = arguments.linear      ? LinearModels::kOn
                   : arguments.no_linear ? LinearModels::kOff
                                         : LinearModels::kAuto;
  options.bootstrap.replicates = static_cast<int>(arguments.replicates);
  options.wants_charts = !arguments.plot.empty();
  options.log = log_line;
  options.stopping = [&stop] { return stop.load(); };
  options.tick = [&](const Progress& progress) {
    bar.show(progress.events, progress.done, progress.in_all);
  };
  auto result = compare(loaded.config, options);
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    return kExitBadConfig;
  }
  if (!result->ended) {
    std::fprintf(stderr, "stopped; nothing is kept\n");
    return kExitFailed;
  }
  bar.finish();
  for (std::size_t m = 0; m < files.size(); ++m) result->comparison.models[m].source = files[m];
  std::printf("%s", print_comparison(result->comparison).c_str());
  const std::string json = comparison_json(result->comparison) + "\n";
  if (!arguments.report.empty()) {
    write_file(arguments.report, json);
    std::printf("%s", json.c_str());
  }
  if (!arguments.plot.empty()) write_file(arguments.plot, svg_document(result->charts));
  return kExitDone;
}

}  // namespace

void add_compare_command(Command& program) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(
      "compare", "Trains several models on the same stream and holds them against each other.");
  add_config_options(command, arguments->config);
  command.add_option("--events", arguments->events,
                     "A file of events, one JSON object a line; several are merged by time.",
                     Command::kRequired);
  command.add_option(
      "--models", arguments->models,
      "Files, by commas, each with what a model changes of the configuration; the "
      "others are held against the first. Default: the configuration's `models`, or the one "
      "model that it is.");
  command.add_flag("--single-task", arguments->single_task,
                   "Learn every task of the first model alone, too, however many there are; "
                   "without this, where there are 2 to 8.");
  command.add_flag("--no-single-task", arguments->no_single_task, "Learn no task alone.");
  command.add_flag("--linear", arguments->linear,
                   "Hold the models against a logistic regression of every binary task, however "
                   "many there are; without this, where there are 1 to 16.");
  command.add_flag("--no-linear", arguments->no_linear, "Learn no logistic regression.");
  command.add_option("--replicates", arguments->replicates,
                     "Bootstrap replicates of the intervals.", 100);
  command.add_option("--report", arguments->report,
                     "Write all of it as JSON to this file, and print it after the table.");
  command.add_option("--plot", arguments->plot,
                     "Write charts of how the metrics went to this file (SVG).");
  command.run([arguments] {
    const std::vector<std::string> files = split(arguments->models);
    if (arguments->single_task && arguments->no_single_task) {
      std::fprintf(stderr,
                   "millrace compare: --single-task and --no-single-task exclude each other\n");
      return kExitUsage;
    }
    if (arguments->linear && arguments->no_linear) {
      std::fprintf(stderr, "millrace compare: --linear and --no-linear exclude each other\n");
      return kExitUsage;
    }
    return with_config(
        arguments->config,
        [&](const std::string& path, const std::vector<ConfigOverride>& overrides) {
          return load_models(path, files, overrides);
        },
        [&](const LoadedConfig& loaded) { return run(*arguments, files, loaded); });
  });
}

}  // namespace millrace
