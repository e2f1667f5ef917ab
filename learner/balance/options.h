#pragma once

#include <map>
#include <string>

#include "learner/base/fields.h"

namespace millrace {

enum class BalanceMethod { kFixed, kUncertainty, kGradnorm, kDwa, kDtp, kPerformance, kRandom };
enum class Surgery { kNone, kPcgrad, kCagrad };
/// What a task's loss is compared with: the mean of its first steps, or ln 2 for cross-entropy.
enum class StartLoss { kMeasured, kLn2 };

template <>
struct Choices<BalanceMethod> {
  static constexpr std::array<Choice<BalanceMethod>, 7> all{
      {{"fixed", BalanceMethod::kFixed},
       {"uncertainty", BalanceMethod::kUncertainty},
       {"gradnorm", BalanceMethod::kGradnorm},
       {"dwa", BalanceMethod::kDwa},
       {"dtp", BalanceMethod::kDtp},
       {"performance", BalanceMethod::kPerformance},
       {"random", BalanceMethod::kRandom}}};
};
template <>
struct Choices<Surgery> {
  static constexpr std::array<Choice<Surgery>, 3> all{
      {{"none", Surgery::kNone}, {"pcgrad", Surgery::kPcgrad}, {"cagrad", Surgery::kCagrad}}};
};
template <>
struct Choices<StartLoss> {
  static constexpr std::array<Choice<StartLoss>, 2> all{
      {{"measured", StartLoss::kMeasured}, {"ln2", StartLoss::kLn2}}};
};

/// `balance.uncertainty`
struct UncertaintyOptions {
  bool raw = false;
  bool half_for_all = false;

  static constexpr auto fields() {
    using U = UncertaintyOptions;
    return std::tuple{
        field("raw", &U::raw,
              "Whether the network sees the raw weights, not scaled to the number of tasks; they "
              "change the learning rates with the losses."),
        field("half_for_all", &U::half_for_all,
              "Whether cross-entropy has the factor of squared error, 1/2.")};
  }
};

/// `balance.gradnorm`
struct GradNormOptions {
  double alpha = 1.5;
  double rate = 0.025;
  int every = 1;
  int loss_steps = 20;
  int start_steps = 20;
  StartLoss start_loss = StartLoss::kMeasured;
  double start_drift = 0;

  static constexpr auto fields() {
    using G = GradNormOptions;
    return std::tuple{
        field("alpha", &G::alpha,
              "How strongly a task that learns slower than the mean is given more: its gradient is "
              "pulled to the mean times the relative loss to this power.",
              0.0, 10.0),
        field("rate", &G::rate, "Adam's rate for the task weights.", 0.0, 1.0),
        field("every", &G::every, "Steps between two updates of the task weights.", 1, 1'000'000),
        field("loss_steps", &G::loss_steps,
              "Steps over which a task's present loss is a running mean; 1: the step's own.", 1,
              1'000'000),
        field("start_steps", &G::start_steps,
              "A task's first steps with labels, whose mean loss is what it started from.", 1,
              1'000'000),
        field("start_loss", &G::start_loss,
              "What a binary task started from: measured, or ln 2, the loss of knowing nothing."),
        field("start_drift", &G::start_drift,
              "The share by which the loss that a task started from moves to its present one, a "
              "step, so that an endless stream does not compare itself with its first minute; 0: "
              "never.",
              0.0, 1.0)};
  }
};

/// The `balance:` section of the configuration.
struct BalanceOptions {
  BalanceMethod method = BalanceMethod::kUncertainty;
  Surgery surgery = Surgery::kNone;
  double rate = 0.01;
  double min_weight = 0.05;
  int warmup_steps = 0;
  /// Of method `fixed`, and of the warm-up, by task; 1 where a task is not named. Scaled so that
  /// they sum to T.
  std::map<std::string, double> weights;
  /// Of method `fixed`, by task: what its weight is multiplied by after each window; 1 where a task
  /// is not named.
  std::map<std::string, double> decay;
  int window = 100;
  double temperature = 2;
  double focus = 1;
  double share = 0.1;
  double cagrad_radius = 0.5;
  UncertaintyOptions uncertainty;
  GradNormOptions gradnorm;

  static auto fields() {
    using B = BalanceOptions;
    return std::tuple{
        field("method", &B::method, "How the tasks' losses are weighed against each other."),
        field("surgery", &B::surgery, "What is done to conflicting gradients of shared weights."),
        field("rate", &B::rate, "Adam's rate for uncertainty's log variances.", 0.0, 1.0),
        field("min_weight", &B::min_weight, "The least weight of a task, as a share of the mean.",
              0.0, 1.0),
        field("warmup_steps", &B::warmup_steps,
              "Steps (of full batches) at the fixed `weights`, while the method already watches.",
              0, 1'000'000'000),
        field("weights", &B::weights,
              "Task weights of the method `fixed` and of the warm-up, by task name."),
        field(
            "decay", &B::decay,
            "With the method `fixed`: what a task's weight is multiplied by after each window, by "
            "task name (PLE's schedule, Tang et al. 2020, eq. 10)."),
        field("window", &B::window,
              "Steps (of full batches) of a window of dwa, dtp, performance and `decay`.", 1,
              1'000'000'000),
        field("temperature", &B::temperature, "Of dwa's softmax.", 1e-3, 1e3),
        field("focus", &B::focus, "dtp's exponent: how soon a task that does well is left.", 0.0,
              10.0),
        field("share", &B::share,
              "How much of a window's figure enters dtp's and performance's running ones.", 0.0,
              1.0),
        field("cagrad_radius", &B::cagrad_radius,
              "How far cagrad may go from the mean gradient, as a share of its length.", 0.0,
              0.999),
        field("uncertainty", &B::uncertainty, "Options of the method `uncertainty`."),
        field("gradnorm", &B::gradnorm, "Options of the method `gradnorm`."),
    };
  }
};

}  // namespace millrace
