// The losses of every kind of task, and chains of conditions of any length: slopes against finite
// differences of the page's formulas in double, and a missing label changes nothing anywhere.
#include "learner/train/task_losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kRows = 24;

struct Case {
  std::vector<Task> tasks;
  std::vector<double> scale;
};

// ℓ of task k: the product over all ancestors, as probabilities, where it is over the entire space.
double loss_of(const std::vector<Task>& tasks, int k, const double* z, double y) {
  const Task& task = tasks[static_cast<std::size_t>(k)];
  const double r = z[k] - y, size = std::fabs(r);
  switch (task.kind) {
    case TaskKind::kBinary: {
      double p = 1;
      for (int j = k; j >= 0; j = tasks[static_cast<std::size_t>(j)].given) {
        p *= 1 / (1 + std::exp(-z[j]));
        if (!task.entire_space) break;
      }
      return -(y * std::log(p) + (1 - y) * std::log(1 - p));
    }
    case TaskKind::kCount:
      return std::exp(z[k]) - y * z[k] - (y > 0 ? y - y * std::log(y) : 0);
    default:
      if (task.loss == RegressionLoss::kSquared || size <= task.delta) return r * r;
      return 2 * task.delta * size - task.delta * task.delta;
  }
}

Batch batch_of(const Schema& schema, std::uint64_t seed) {
  const std::size_t T = schema.tasks().size();
  Batch batch = empty_batch(schema, Stream::kMatured);
  batch.rows = kRows;
  for (int i = 0; i < kRows; ++i) {
    batch.weights.push_back(1 + static_cast<float>(i % 3));
    batch.users.push_back(0);
    for (std::size_t k = 0; k < T; ++k) {
      const auto bits = philox(seed, k, static_cast<std::uint64_t>(i))[0];
      const bool binary = schema.tasks()[k].kind == TaskKind::kBinary;
      batch.labels.push_back(bits % 4 == 0 ? NAN : static_cast<float>(bits / 4 % (binary ? 2 : 5)));
      batch.condition.push_back(1);
    }
  }
  return batch;
}

struct Passed {
  Passed(const Schema& schema, const Batch& batch, const Matrix<float>& z,
         const std::vector<double>& scale)
      : heads(schema, FeedbackOptions{}, 1, kRows, 1, kRows, 1),
        losses(schema, kRows),
        dz(kRows, static_cast<int>(schema.tasks().size())) {
    losses.begin(batch);
    heads.begin(batch, std::vector<std::uint8_t>(schema.tasks().size(), 1));
    losses.run(0, z.view(), scale, heads, dz.view());
  }
  FeedbackHeads heads;
  TaskLosses losses;
  Matrix<float> dz;
};

// Every task given the one before it; bit k of `entire`: whether task k is over the entire space.
std::vector<Task> chain_of(int length, unsigned entire) {
  std::vector<Task> tasks;
  for (int k = 0; k < length; ++k) {
    Task task;
    task.name = "t" + std::to_string(k);
    task.given = k - 1;
    task.entire_space = k > 0 && (entire >> k & 1U) != 0;
    tasks.push_back(task);
  }
  return tasks;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int length = 2; length <= 5; ++length) {
    for (unsigned entire = 0; entire < 1U << length; entire += 2) {
      all.push_back({chain_of(length, entire), {}});
    }
  }
  Case kinds{chain_of(6, 2), {}};
  kinds.tasks[2].kind = TaskKind::kCount;
  kinds.tasks[3].kind = TaskKind::kDuration;
  kinds.tasks[4].kind = TaskKind::kRegression;
  kinds.tasks[5].kind = TaskKind::kRegression;
  kinds.tasks[5].loss = RegressionLoss::kHuber;
  kinds.tasks[5].delta = 0.7;
  for (std::size_t k = 2; k < 6; ++k) kinds.tasks[k].given = 1;
  all.push_back(kinds);
  for (Case& c : all) {
    c.scale.resize(c.tasks.size());
    std::iota(c.scale.begin(), c.scale.end(), 1);
  }
  return all;
}

TEST(TaskLosses, SlopesAreThoseOfTheLossesWhateverTheChain) {
  for (const Case& c : cases()) {
    const Schema schema({}, c.tasks);
    const int T = static_cast<int>(c.tasks.size());
    const Batch batch = batch_of(schema, 7);
    const Matrix<float> z(kRows, T, 3);
    const Passed run(schema, batch, z, c.scale);
    for (int i = 0; i < kRows; ++i) {
      std::vector<double> at(z.values.begin() + i * T, z.values.begin() + (i + 1) * T);
      const auto total = [&] {
        double sum = 0;
        for (int k = 0; k < T; ++k) {
          const float y = batch.labels[static_cast<std::size_t>(i * T + k)];
          if (!std::isnan(y))
            sum += c.scale[static_cast<std::size_t>(k)] * loss_of(c.tasks, k, at.data(), double{y});
        }
        return batch.weights[static_cast<std::size_t>(i)] * sum;
      };
      const std::vector<double> expected = slopes(at, total);
      for (int k = 0; k < T; ++k) {
        EXPECT_NEAR(run.dz(i, k), expected[static_cast<std::size_t>(k)], 2e-5) << T << ' ' << k;
        const float y = batch.labels[static_cast<std::size_t>(i * T + k)];
        if (std::isnan(y)) continue;
        EXPECT_NEAR(run.losses.loss(i, k), loss_of(c.tasks, k, at.data(), double{y}), 1e-9);
      }
    }
  }
}

TEST(TaskLosses, SumsAreOfTheKnownLabelsByTheirWeights) {
  for (const Case& c : cases()) {
    const Schema schema({}, c.tasks);
    const int T = static_cast<int>(c.tasks.size());
    const Batch batch = batch_of(schema, 9);
    const Matrix<float> z(kRows, T, 4);
    const Passed run(schema, batch, z, c.scale);
    const std::vector<TaskLoss> sums = run.losses.sums();
    for (int k = 0; k < T; ++k) {
      double sum = 0, count = 0;
      for (int i = 0; i < kRows; ++i) {
        const float y = batch.labels[static_cast<std::size_t>(i * T + k)];
        if (std::isnan(y)) continue;
        const std::vector<double> at(z.values.begin() + i * T, z.values.begin() + (i + 1) * T);
        count += 1;
        sum +=
            batch.weights[static_cast<std::size_t>(i)] * loss_of(c.tasks, k, at.data(), double{y});
      }
      EXPECT_EQ(sums[static_cast<std::size_t>(k)].count, count);
      EXPECT_NEAR(sums[static_cast<std::size_t>(k)].sum, sum, 1e-6 * (1 + sum));
    }
  }
}

// A task's labels gone: the others' slopes and losses keep their bits.
TEST(TaskLosses, MissingLabelsChangeNothingElsewhere) {
  for (const Case& c : cases()) {
    const Schema schema({}, c.tasks);
    const std::size_t T = c.tasks.size();
    Batch batch = batch_of(schema, 5);
    const Matrix<float> z(kRows, static_cast<int>(T), 6);
    const std::size_t last = T - 1;  // no other task's chain goes through it
    const Passed with(schema, batch, z, c.scale);
    for (int i = 0; i < kRows; ++i) batch.labels[static_cast<std::size_t>(i) * T + last] = NAN;
    std::vector<double> scale = c.scale;
    scale[last] = 0;
    const Passed without(schema, batch, z, c.scale),
        unweighted(schema, batch_of(schema, 5), z, scale);
    EXPECT_EQ(without.dz.values, unweighted.dz.values);
    for (std::size_t k = 0; k < last; ++k) {
      EXPECT_EQ(without.losses.sums()[k].sum, with.losses.sums()[k].sum);
    }
    EXPECT_EQ(without.losses.sums()[last].count, 0);
  }
}

// A row of the flush: conditions that are certain to hold are no factors of what is trained; what
// is measured is the product of all.
TEST(TaskLosses, ConditionsThatAreCertainAreNoFactors) {
  for (const Case& c : cases()) {
    const Schema schema({}, c.tasks);
    const std::size_t T = c.tasks.size();
    Batch batch = batch_of(schema, 11);
    for (std::size_t i = 0; i < kRows; ++i) {
      for (std::size_t k = 0; k < T; ++k) batch.certain.push_back(k < i % 4 ? 1 : 0);
    }
    const Matrix<float> z(kRows, static_cast<int>(T), 8);
    const Passed run(schema, batch, z, c.scale);
    double trained = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
      std::vector<double> at(z.values.begin() + static_cast<long>(i * T),
                             z.values.begin() + static_cast<long>((i + 1) * T));
      const auto loss = [&](std::size_t k) {
        std::vector<double> known = at;  // a logit of 99 is a factor of 1
        for (std::size_t j = 0; j < k; ++j) {
          if (batch.certain[i * T + j] != 0) known[j] = 99;
        }
        return loss_of(c.tasks, static_cast<int>(k), known.data(), double{batch.labels[i * T + k]});
      };
      const auto total = [&] {
        double sum = 0;
        for (std::size_t k = 0; k < T; ++k) {
          if (!std::isnan(batch.labels[i * T + k])) sum += c.scale[k] * loss(k);
        }
        return batch.weights[i] * sum;
      };
      const std::vector<double> expected = slopes(at, total);
      for (std::size_t k = 0; k < T; ++k) {
        const int row = static_cast<int>(i), task = static_cast<int>(k);
        EXPECT_NEAR(run.dz(row, task), expected[k], 2e-5) << T << ' ' << k;
        const float y = batch.labels[i * T + k];
        if (std::isnan(y)) continue;
        trained += batch.weights[i] * loss(k);
        EXPECT_NEAR(run.losses.loss(row, task), loss_of(c.tasks, task, at.data(), double{y}), 1e-9);
      }
    }
    for (const TaskLoss& sum : run.losses.sums()) trained -= sum.sum;
    EXPECT_NEAR(trained, 0, 1e-6);
  }
}

}  // namespace
}  // namespace millrace
