// MMoE's synthetic experiment by one command: `mmoe_experiment [--steps N] [--seeds N] [--threads
// N]` trains backbones of like size on two regressions that are the less related the smaller p is,
// and prints test MSE / Var, mean and standard deviation over paired seeds.
#include "tests/support/mmoe_experiment.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

using namespace millrace;

// Exits where the words are none of the options.
mmoe_experiment::Options options_of(int argc, char** argv) {
  mmoe_experiment::Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    const int value = i + 1 < argc ? std::atoi(argv[i + 1]) : 0;
    int* const target = name == "--steps"     ? &options.steps
                        : name == "--seeds"   ? &options.seeds
                        : name == "--threads" ? &options.threads
                                              : nullptr;
    if (target == nullptr || value < 1) {
      std::fprintf(stderr, "usage: mmoe_experiment [--steps N] [--seeds N] [--threads N]\n");
      std::exit(2);
    }
    *target = value;
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const mmoe_experiment::Options options = options_of(argc, argv);
  const std::vector<mmoe_experiment::Contender> contenders = mmoe_experiment::contenders();
  const std::vector<mmoe_experiment::Outcome> outcomes = mmoe_experiment::run(options, contenders);
  std::printf("test MSE / Var after %d steps of %d rows, mean ± deviation of %d seeds\n",
              options.steps, options.batch, options.seeds);
  std::printf("%-14s %10s", "model", "weights");
  for (const double p : options.correlations) std::printf("        p = %.1f     ", p);
  std::printf("\n");
  std::size_t at = 0;
  for (const mmoe_experiment::Contender& contender : contenders) {
    const Model<float> model(options.dimension, 0, MmoePair::kTasks, contender.model);
    std::printf("%-14s %10ld", contender.name.c_str(), model.parameter_count());
    for (std::size_t p = 0; p < options.correlations.size(); ++p) {
      std::printf("   %.4f ± %.4f", outcomes[at].mean(), outcomes[at].spread());
      ++at;
    }
    std::printf("\n");
  }
  return 0;
}
