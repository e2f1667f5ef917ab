#include "ops/commands/bench.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ops/commands/with_config.h"
#include "ops/parity/gradients.h"
#include "ops/parity/parity.h"

namespace millrace {
namespace {

struct Arguments {
  ConfigArguments config;
  std::string weights, batches, out, trace, write_initial;
  std::optional<std::int64_t> steps;
};

/// What the gradients may differ by, relative.
constexpr double kInDouble = 1e-6, kInFloat = 1e-3;

int complain(const std::string& message, const char* command = "parity") {
  std::fprintf(stderr, "millrace bench %s: %s\n", command, message.c_str());
  return kExitFailed;
}

bool write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  return static_cast<bool>(file.flush());
}

struct GradientArguments {
  ConfigArguments config;
  std::string weights, batches;
  double deviation = 0.5, step = 1e-4;
};

int write_initial(const Arguments& arguments, const Config& config, const GivenBatches& batches) {
  const auto initial = initial_weights(config, batches);
  if (!initial) return complain(initial.error().message);
  if (const auto written = write_tensor_file(arguments.write_initial, *initial); !written) {
    return complain(written.error().message);
  }
  return kExitDone;
}

int run_steps(const Arguments& arguments, const Config& config, GivenBatches batches) {
  ParityRun run{.config = config, .batches = std::move(batches), .weights = {}, .steps = 0};
  run.steps = arguments.steps.value_or(static_cast<std::int64_t>(run.batches.batches.size()));
  if (!arguments.weights.empty()) {
    auto weights = read_tensor_file(arguments.weights);
    if (!weights) return complain(weights.error().message);
    run.weights = std::move(*weights);
  }
  const auto result = run_parity(run);
  if (!result) return complain(result.error().message);
  if (const auto written = write_tensor_file(arguments.out, result->weights); !written) {
    return complain(written.error().message);
  }
  if (!arguments.trace.empty() && !write_text(arguments.trace, result->trace)) {
    return complain(arguments.trace + ": cannot be written");
  }
  std::printf("%lld steps, %zu arrays\n", static_cast<long long>(run.steps),
              result->weights.tensors.size());
  return kExitDone;
}

int parity(const Arguments& arguments, const Config& config) {
  auto batches = read_batches(arguments.batches, config);
  if (!batches) return complain(batches.error().message);
  if (!arguments.write_initial.empty()) {
    const int exit = write_initial(arguments, config, *batches);
    if (exit != kExitDone || arguments.out.empty()) return exit;
  }
  return run_steps(arguments, config, std::move(*batches));
}

int gradients(const GradientArguments& arguments, const Config& config) {
  const auto fail = [](const Error& error) { return complain(error.message, "gradients"); };
  auto batches = read_batches(arguments.batches, config);
  if (!batches) return fail(batches.error());
  GradientRun run{.config = config, .batches = std::move(*batches), .weights = {}};
  run.deviation = arguments.deviation;
  run.step = arguments.step;
  if (!arguments.weights.empty()) {
    auto weights = read_tensor_file(arguments.weights);
    if (!weights) return fail(weights.error());
    run.weights = std::move(*weights);
  }
  const auto result = check_gradients(run);
  if (!result) return fail(result.error());
  ArrayGradient worst;
  std::printf("%9s %9s  array, and the task whose loss differs most\n", "double", "float");
  for (const ArrayGradient& array : result->arrays) {
    std::printf("%9.1e %9.1e  %s %s\n", array.in_double, array.in_float, array.array.c_str(),
                array.loss.c_str());
    worst.in_double = std::max(worst.in_double, array.in_double);
    worst.in_float = std::max(worst.in_float, array.in_float);
  }
  std::printf("%9.1e %9.1e  at most, over %ld slopes; %ld more left out at kinks\n",
              worst.in_double, worst.in_float, result->compared - result->left_out,
              result->left_out);
  const bool passed = worst.in_double <= kInDouble && worst.in_float <= kInFloat;
  return passed ? kExitDone : kExitFailed;
}

void add_gradients_command(Command& bench) {
  auto arguments = std::make_shared<GradientArguments>();
  Command& command = bench.add_command(
      "gradients",
      "The gradients of every weight and input, in double and in float, against central "
      "differences of each task's loss on the last of the batches, by ops/docs/parity.md. Ends "
      "with 1 where one differs by more than 1e-6 in double, or 1e-3 in float.");
  add_config_options(command, arguments->config);
  command.add_option("--batches", arguments->batches,
                     "Samples, one JSON object a line, each with the number of its `batch`.",
                     Command::kRequired);
  command.add_option("--weights", arguments->weights,
                     "Weights (safetensors); without it normal numbers of the seed.");
  command.add_option("--deviation", arguments->deviation, "Of these numbers. Default: 0.5.", 0);
  command.add_option("--step", arguments->step, "Of the differences. Default: 1e-4.", 1e-12);
  command.run([arguments] {
    return with_config(arguments->config, [&](const LoadedConfig& loaded) {
      return gradients(*arguments, loaded.config);
    });
  });
}

}  // namespace

void add_bench_command(Command& program) {
  Command& bench =
      program.add_command("bench", "Holds the learner against other code (make bench: speed).");
  add_gradients_command(bench);
  auto arguments = std::make_shared<Arguments>();
  Command& command = bench.add_command(
      "parity",
      "Training steps from given weights on given batches, without Kafka, join or store; writes "
      "the weights that come of them. The files' forms are in ops/docs/parity.md.");
  add_config_options(command, arguments->config);
  command.add_option("--batches", arguments->batches,
                     "Samples, one JSON object a line, each with the number of its `batch`.",
                     Command::kRequired);
  command.add_option("--weights", arguments->weights,
                     "Weights to start from (safetensors); without it the initial ones of the "
                     "seed, with first biases from the first labels.");
  command.add_option("--steps", arguments->steps,
                     "How many steps; batches are taken in turn. Default: each batch once.", 0);
  command.add_option("--out", arguments->out, "Write the weights after the steps to this file.");
  command.add_option("--trace", arguments->trace,
                     "Write each step's losses and task weights to this file, one JSON object a "
                     "line.");
  command.add_option("--write-initial", arguments->write_initial,
                     "Write the initial weights of the seed to this file, with the rows of all "
                     "values in the batches.");
  command.run([arguments] {
    if (arguments->out.empty() && arguments->write_initial.empty()) {
      std::fprintf(stderr, "millrace bench parity: give --out FILE or --write-initial FILE\n");
      return kExitUsage;
    }
    return with_config(arguments->config, [&](const LoadedConfig& loaded) {
      return parity(*arguments, loaded.config);
    });
  });
}

}  // namespace millrace
