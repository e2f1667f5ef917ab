// Balancers that descend: the slope that moves s (uncertainty) and w (GradNorm) against central
// differences of what the papers minimise.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "learner/balance/gradnorm.h"
#include "learner/balance/uncertainty.h"

namespace millrace {
namespace {

std::vector<Task> make_tasks() {
  std::vector<Task> tasks{{"ctr"}, {"dwell"}, {"like"}};
  tasks[1].kind = TaskKind::kRegression;
  return tasks;
}

std::vector<TaskLoss> losses_of(const std::vector<double>& means) {
  std::vector<TaskLoss> losses;
  for (const double mean : means) losses.push_back({mean * 10, 10});
  return losses;
}

/// One of the values that a balancer saves of each task; `head`: how many of the whole come before
/// them.
double saved(const Balancer& balancer, std::size_t head, std::size_t task, std::size_t value) {
  ByteWriter writer;
  balancer.save(writer);
  const auto values = static_cast<std::size_t>(balancer.task_values());
  double found = 0;
  std::memcpy(&found, writer.bytes().data() + (head + task * values + value) * sizeof found,
              sizeof found);
  return found;
}

/// The slope of a step from Adam's first moment before and after it.
double slope_between(double before, double after) { return (after - 0.9 * before) / 0.1; }

// J = Σ_k [c_k e^{−s_k} L_k + ½ s_k] by central differences in s, for every kind of loss.
TEST(UncertaintyBalancer, DescendsByTheSlopeOfItsObjective) {
  constexpr std::size_t kS = 0, kMoment = 1;
  for (const bool half : {false, true}) {
    for (const bool raw : {false, true}) {
      BalanceOptions options;
      options.rate = 0.2;
      options.uncertainty.half_for_all = half;
      options.uncertainty.raw = raw;
      UncertaintyBalancer balancer(options, make_tasks());
      for (int step = 0; step < 8; ++step) {
        const std::vector<double> losses{0.2 + step, 3.0 / (1 + step), 0.6};
        double s[3], before[3];
        for (std::size_t k = 0; k < 3; ++k) {
          s[k] = saved(balancer, 0, k, kS);
          before[k] = saved(balancer, 0, k, kMoment);
        }
        balancer.step({losses_of(losses)});
        for (std::size_t k = 0; k < 3; ++k) {
          const double c = half || k == 1 ? 0.5 : 1, h = 1e-5;
          const auto J = [&](double at) { return c * std::exp(-at) * losses[k] + at / 2; };
          const double expected = (J(s[k] + h) - J(s[k] - h)) / (2 * h);
          const double got = slope_between(before[k], saved(balancer, 0, k, kMoment));
          EXPECT_NEAR(got, expected, 1e-6 * std::max(1.0, std::fabs(expected))) << step << ' ' << k;
        }
      }
    }
  }
}

// L_grad = Σ_k |w_k n_k − τ_k| with the targets τ held, by central differences in w.
TEST(GradNormBalancer, DescendsByTheSlopeOfItsLoss) {
  constexpr std::size_t kHead = 1, kWeight = 0, kLoss = 1, kStart = 3, kMoment = 5;
  GradNormBalancer balancer(BalanceOptions{}, make_tasks());
  for (int step = 0; step < 12; ++step) {
    const std::vector<double> norms{0.5 + 0.1 * step, 2, 1.0 / (1 + step)};
    double w[3], before[3];
    for (std::size_t k = 0; k < 3; ++k) {
      w[k] = saved(balancer, kHead, k, kWeight);
      before[k] = saved(balancer, kHead, k, kMoment);
    }
    balancer.step({losses_of({2.0 / (1 + step), 3, 5.0 + step}), norms});
    double gradient = 0, relative[3], middle = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      gradient += w[k] * norms[k] / 3;
      relative[k] = saved(balancer, kHead, k, kLoss) / saved(balancer, kHead, k, kStart);
      middle += relative[k] / 3;
    }
    const auto loss = [&](std::size_t moved, double by) {
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        const double target = gradient * std::pow(relative[k] / middle, 1.5);
        sum += std::fabs((w[k] + (k == moved ? by : 0)) * norms[k] - target);
      }
      return sum;
    };
    for (std::size_t k = 0; k < 3; ++k) {
      const double expected = (loss(k, 1e-6) - loss(k, -1e-6)) / 2e-6;
      const double got = slope_between(before[k], saved(balancer, kHead, k, kMoment));
      EXPECT_NEAR(got, expected, 1e-6) << step << ' ' << k;
    }
  }
}

}  // namespace
}  // namespace millrace
