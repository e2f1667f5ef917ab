// What each policy of delayed feedback wins back of what waiting for labels costs
// (tests/support/feedback_experiment.h):
//   build/release/tests/bench/delayed_feedback_bench [--impressions N] [--seed S] [--rate R]
//       [--swing A] [--delay 2h] [--turn 3d] [--window 24h] [--short-wait 15m] [METHOD…]
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "tests/support/feedback_experiment.h"

namespace millrace {
namespace {

int usage(const std::string& what) {
  std::fprintf(stderr, "delayed_feedback_bench: %s\n", what.c_str());
  return 2;
}

void print(const FeedbackResult& r, const FeedbackResult& wait, const FeedbackResult& oracle) {
  std::printf("%-7s %7.4f %7.4f  %6.0f%% %6.0f%% %9.4f %7.4f  %6.0f%% %6.0f%%", r.method.c_str(),
              r.ne, r.auc, 100 * gap_closed(wait.ne, r.ne, oracle.ne),
              100 * gap_closed(wait.auc, r.auc, oracle.auc), r.entire_ne, r.entire_auc,
              100 * gap_closed(wait.entire_ne, r.entire_ne, oracle.entire_ne),
              100 * gap_closed(wait.entire_auc, r.entire_auc, oracle.entire_auc));
  std::printf(r.reported_ne ? "  %8.4f" : "         -", r.reported_ne.value_or(0));
  std::printf("  %5.1f s\n", r.seconds);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  FeedbackExperiment experiment;
  std::vector<std::string> methods;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--")) {
      methods.push_back(word);
      continue;
    }
    if (i + 1 == argc) return usage(word + " needs a value");
    const std::string value = argv[++i];
    const auto duration = parse_duration(value);
    if (word == "--impressions") {
      experiment.impressions = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--seed") {
      experiment.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (word == "--rate") {
      experiment.impressions_per_second = std::strtod(value.c_str(), nullptr);
    } else if (word == "--swing") {
      experiment.conversion_swing = std::strtod(value.c_str(), nullptr);
    } else if (word == "--delay" && duration) {
      experiment.conversion_delay = *duration;
    } else if (word == "--turn" && duration) {
      experiment.conversion_turn = *duration;
    } else if (word == "--window" && duration) {
      experiment.window = *duration;
    } else if (word == "--short-wait" && duration) {
      experiment.short_wait = *duration;
    } else {
      return usage(word + " " + value + " is not understood");
    }
  }
  if (methods.empty()) methods = {"fnw", "fnc", "es_dfm", "defer", "defuse", "dfm"};
  std::printf(
      "%llu impressions at %g/s, conversions after %s, a turn in %s, window %s, short wait "
      "%s\n\n",
      static_cast<unsigned long long>(experiment.impressions), experiment.impressions_per_second,
      print_duration(experiment.conversion_delay).c_str(),
      print_duration(experiment.conversion_turn).c_str(), print_duration(experiment.window).c_str(),
      print_duration(experiment.short_wait).c_str());
  std::printf(
      "        cvr on clicks                    click and conversion               reported\n"
      "method       ne     auc  gap ne    auc        ne     auc  gap ne    auc        ne\n");
  const FeedbackResult wait = run_feedback_method(experiment, "wait");
  const FeedbackResult oracle = run_feedback_method(experiment, "oracle");
  print(wait, wait, oracle);
  for (const std::string& method : methods) {
    print(run_feedback_method(experiment, method), wait, oracle);
  }
  print(oracle, wait, oracle);
  print(score_truth(experiment), wait, oracle);
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::run(argc, argv); }
