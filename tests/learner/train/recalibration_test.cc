// Recalibration is held against the best line in hindsight; what is served becomes calibrated where
// the model is not, and the line is the same after restarts, with threads, and for frozen tasks.
#include "learner/train/recalibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "learner/math/activation.h"
#include "learner/publish/scorer.h"
#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

// Rows whose true log odds are slope · z + shift, about `base`.
struct Rows {
  Rows(std::uint64_t seed, double slope_, double shift_, double base_)
      : random(seed), slope(slope_), shift(shift_), base(base_) {}
  std::pair<double, double> next() {
    const double truth = base + normal(random);
    const double label = unit(random) < sigmoid(truth) ? 1 : 0;
    return {(truth - shift) / slope, label};
  }
  std::mt19937_64 random;
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> unit{0, 1};
  double slope, shift, base;
};

TEST(Recalibration, FindsTheLineWhateverTheBaseRateAndTheSpread) {
  for (const double base : {0.0, -2.0, -4.0, 2.0}) {
    for (const double slope : {0.5, 1.0, 2.0}) {
      for (const double shift : {-2.0, 0.0, 1.5}) {
        Rows rows(7, slope, shift, base);
        Recalibration line(20'000);
        double predicted = 0, seen = 0;
        for (int i = 0; i < 120'000; ++i) {
          const auto [z, label] = rows.next();
          if (i >= 60'000) {
            predicted += sigmoid(line.apply(z));
            seen += label;
          }
          line.learn(z, label, 1);
          if (i % 64 == 0) line.settle();
        }
        EXPECT_NEAR(line.line().slope, slope, 0.15 * slope) << base << " " << slope << " " << shift;
        // Where the mean row is.
        const double z = (base - shift) / slope;
        EXPECT_NEAR(line.line().at(z), base, base == -4.0 ? 0.2 : 0.08);
        EXPECT_NEAR(predicted / seen, 1, 0.03) << base << " " << slope << " " << shift;
      }
    }
  }
}

// A step is one of Newton's on the sum so far: close to the maximum of the likelihood.
TEST(Recalibration, IsTheBestLineInHindsightOfAsManyRows) {
  Rows rows(3, 1.4, -0.8, -1);
  Recalibration line(1e9);
  std::vector<std::pair<double, double>> all;
  for (int i = 0; i < 40'000; ++i) {
    all.push_back(rows.next());
    line.learn(all.back().first, all.back().second, 1);
  }
  line.settle();
  double slope = 1, shift = 0;
  for (int turn = 0; turn < 50; ++turn) {  // Newton on the whole, with the same hold
    double a = 100, b = 5, c = 0, of_slope = 0, of_shift = 0;
    for (const auto& [z, label] : all) {
      const double p = sigmoid(slope * z + shift), told = p * (1 - p);
      a += told * z * z, b += told, c += told * z;
      of_slope += (p - label) * z, of_shift += p - label;
    }
    const double determinant = a * b - c * c;
    slope -= (b * of_slope - c * of_shift) / determinant;
    shift -= (a * of_shift - c * of_slope) / determinant;
  }
  EXPECT_NEAR(line.line().slope, slope, 0.02);
  EXPECT_NEAR(line.line().shift, shift, 0.02);
}

TEST(Recalibration, FollowsADriftAndStaysWithinItsBounds) {
  Recalibration line(5'000);
  Rows before(1, 1, 0, -2), after(2, 1, -1.2, -2);
  for (int i = 0; i < 30'000; ++i) {
    const auto [z, label] = before.next();
    line.learn(z, label, 1);
  }
  line.settle();
  EXPECT_NEAR(line.line().at(-2), -2, 0.15);
  for (int i = 0; i < 30'000; ++i) {
    const auto [z, label] = after.next();
    line.learn(z, label, 1);
  }
  line.settle();
  EXPECT_NEAR(line.line().at(-0.8), -2, 0.15);
  // Labels that no line explains, huge logits and weights, what is not finite.
  for (int i = 0; i < 50'000; ++i) {
    line.learn(i % 2 == 0 ? 1e30 : -1e30, i % 2, i % 3 == 0 ? 1e6 : 1);
    line.learn(std::nan(""), 1, 1);
    line.learn(-40, 1, 1);
  }
  line.settle();
  EXPECT_GE(line.line().slope, 0.099F);
  EXPECT_LE(line.line().slope, 10.0F);
  EXPECT_LE(std::fabs(line.line().shift), 16.0F);
}

TEST(Recalibration, OnlyWhatIsSettledIsAppliedAndAllOfItIsSaved) {
  Recalibration line(1'000);
  Rows rows(4, 2, 1, -1);
  for (int i = 0; i < 500; ++i) {
    const auto [z, label] = rows.next();
    line.learn(z, label, 1);
  }
  EXPECT_EQ(line.apply(1.25), 1.25);
  line.settle();
  EXPECT_NE(line.apply(1.25), 1.25);
  ByteWriter writer;
  line.save(writer);
  Recalibration other(1'000);
  ByteReader reader(writer.bytes());
  other.restore(reader);
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(other.apply(1.25), line.apply(1.25));
  for (Recalibration* each : {&line, &other}) {
    each->learn(0.3, 1, 1);
    each->settle();
  }
  EXPECT_EQ(other.line().slope, line.line().slope);
  EXPECT_EQ(other.line().shift, line.line().shift);
}

constexpr int kBatch = 64;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

LearnerOptions recalibrated() {
  LearnerOptions options = stream::options(kBatch);
  options.train.recalibrate = {{"click", 2'000}, {"like", 1'000}};
  return options;
}

std::vector<Batch> draw(int count, std::uint64_t seed) {
  stream::Source source(schema(), seed);
  std::mt19937_64 random(seed);
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i)
    batches.push_back(source.next(1 + static_cast<int>(random() % 64)));
  return batches;
}

// Rows without a click were left out, and nobody said so to the model: their weight is 1 in what is
// learned, and what it should be in what is measured.
TEST(RecalibratedTask, ServesWhatIsTrueWhereNegativesWereLeftOut) {
  constexpr float kRate = 0.2F;
  std::mt19937_64 random(9);
  Trainer trainer("m", schema(), recalibrated());
  std::size_t kept_rows = 0;
  for (Batch& batch : draw(1'500, 11)) {
    Batch kept = batch;
    kept.measure_weights.assign(static_cast<std::size_t>(batch.rows), 1);
    for (int i = 0; i < batch.rows; ++i) {
      const auto row = static_cast<std::size_t>(i);
      if (batch.labels[row * stream::kTasks] == 1) continue;
      // What is left out weighs nothing at all; what is kept stands for five.
      const bool keep = random() % 5 == 0;
      kept.weights[row] = keep ? 1.0F : 0.0F;
      kept.measure_weights[row] = keep ? 1 / kRate : 0.0F;
      kept_rows += keep ? 1 : 0;
    }
    trainer.train(kept);
  }
  ASSERT_GT(kept_rows, 1'000U);
  const TaskReport click = trainer.report().tasks[0];
  ASSERT_TRUE(click.recalibrated);
  EXPECT_GT(*click.last_fifth.calibration, 1.5);
  EXPECT_NEAR(*click.recalibrated->output.last_fifth.calibration, 1, 0.06);
  EXPECT_LT(*click.recalibrated->output.last_fifth.log_loss, *click.last_fifth.log_loss - 0.02);
  EXPECT_NEAR(*click.recalibrated->output.last_fifth.auc, *click.last_fifth.auc, 2e-3);
  EXPECT_LT(click.recalibrated->line.at(0), -0.5);
  // What is served is the model's logit on that line.
  const Publication publication = trainer.publish();
  ASSERT_EQ(publication.dense->recalibration.size(), schema().tasks().size());
  EXPECT_EQ(publication.dense->recalibration[0].shift, click.recalibrated->line.shift);
  for (std::size_t k = 0; k < schema().tasks().size(); ++k) {
    const LogitLine& line = publication.dense->recalibration[k];
    const bool asked = schema().tasks()[k].name == "click" || schema().tasks()[k].name == "like";
    EXPECT_EQ(line.slope == 1 && line.shift == 0, !asked) << schema().tasks()[k].name;
  }
}

TEST(RecalibratedTask, ChangesNoWeightAndNothingOfTheModelsOwnOutput) {
  Trainer plain("m", schema(), stream::options(kBatch)), lined("m", schema(), recalibrated());
  for (const Batch& batch : draw(60, 3)) {
    plain.train(batch);
    lined.train(batch);
  }
  for (const std::string& name : differences(state_of(plain), state_of(lined))) {
    EXPECT_TRUE(name.find("/line") != std::string::npos ||
                name.find("/recalibrated") != std::string::npos)
        << name;
  }
  EXPECT_TRUE(plain.publish().dense->recalibration.empty());
  EXPECT_EQ(plain.report().tasks[0].all.log_loss, lined.report().tasks[0].all.log_loss);
  EXPECT_FALSE(plain.report().tasks[0].recalibrated);
}

TEST(RecalibratedTask, ThreadsAndRestartsChangeNoBit) {
  LearnerOptions two = recalibrated();
  two.train.threads = 2;
  Trainer whole("m", schema(), recalibrated()), threads("m", schema(), two);
  StateLog log;
  auto cut = std::make_unique<Trainer>("m", schema(), recalibrated());
  std::mt19937_64 random(5);
  for (const Batch& batch : draw(120, 6)) {
    whole.train(batch);
    threads.train(batch);
    cut->train(batch);
    if (random() % 7 != 0) continue;
    log.commit(*cut);
    cut = std::make_unique<Trainer>("m", schema(), recalibrated());
    log.restore(*cut);
  }
  log.commit(*cut);
  const auto expected = state_of(whole);
  EXPECT_THAT(differences(state_of(threads), expected), ::testing::IsEmpty());
  EXPECT_THAT(differences(log.digested(), expected), ::testing::IsEmpty());
  const auto line = [](Trainer& trainer) { return trainer.report().tasks[0].recalibrated->line; };
  EXPECT_NE(line(whole).shift, 0);
  EXPECT_EQ(line(*cut).shift, line(whole).shift);
  EXPECT_EQ(line(*cut).slope, line(whole).slope);
  EXPECT_EQ(cut->report().tasks[0].recalibrated->output.all.log_loss,
            whole.report().tasks[0].recalibrated->output.all.log_loss);
}

// What is not kept up is no start for later: the scores are other ones by then.
TEST(RecalibratedTask, LeftOutItLeavesNothingAndBackAgainItBeginsAnew) {
  StateLog log;
  const auto batches = draw(40, 9);
  {
    Trainer trainer("m", schema(), recalibrated());
    for (const Batch& batch : batches) trainer.train(batch);
    log.commit(trainer);
  }
  {
    Trainer without("m", schema(), stream::options(kBatch));
    log.restore(without);
    EXPECT_FALSE(without.report().tasks[0].recalibrated);
    log.commit(without);
    for (const auto& [name, bytes] : log.digested()) {
      const std::string value = name.first + name.second;
      EXPECT_EQ(value.find("/line"), std::string::npos) << value;
      EXPECT_EQ(value.find("/recalibrated"), std::string::npos) << value;
    }
    Trainer again("m", schema(), stream::options(kBatch));
    log.restore(again);
    log.commit(again);
  }
  Trainer back("m", schema(), recalibrated());
  log.restore(back);
  const auto anew = back.report().tasks[0].recalibrated;
  EXPECT_EQ(anew->line.slope, 1);
  EXPECT_EQ(anew->line.shift, 0);
  EXPECT_EQ(anew->output.all.rows, 0U);
  for (const Batch& batch : batches) back.train(batch);
  EXPECT_NE(back.report().tasks[0].recalibrated->line.shift, 0);
}

TEST(RecalibratedTask, AFrozenTasksLineStays) {
  Trainer trainer("m", schema(), recalibrated());
  const auto batches = draw(40, 8);
  for (int i = 0; i < 20; ++i) trainer.train(batches[static_cast<std::size_t>(i)]);
  trainer.freeze(0, "test");
  const auto before = trainer.report().tasks[0].recalibrated;
  for (std::size_t i = 20; i < 40; ++i) trainer.train(batches[i]);
  const auto after = trainer.report().tasks[0].recalibrated;
  EXPECT_EQ(after->line.shift, before->line.shift);
  EXPECT_EQ(after->line.slope, before->line.slope);
  EXPECT_GT(after->output.all.rows, before->output.all.rows);
}

// The first that comes after a restart may be labels that are only measured: of a frozen task they
// are measured, and its line stays; that of another task moves as without the restart.
TEST(RecalibratedTask, AFrozenTasksLineStaysOverARestart) {
  std::vector<Task> tasks = stream::tasks(FeedbackPolicy::kFnw);
  tasks[stream::kLike].policy = FeedbackPolicy::kFnw;
  const Schema early(stream::features(), tasks);
  stream::Source source(early, 12);
  Trainer whole("m", early, recalibrated());
  Batch finals = empty_batch(early, Stream::kMatured);
  for (std::uint64_t turn = 0; turn < 12; ++turn) {
    Batch batch = source.next(kBatch, Stream::kAtOnce, 0);
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      batch.keys[i] = 1'000 + turn * kBatch + i;
      finals.measured.keys.push_back(batch.keys[i]);
      finals.measured.weights.push_back(1);
      finals.measured.last.push_back(1);
      for (std::size_t k = 0; k < stream::kTasks; ++k) {
        const bool known = k == stream::kClick || k == stream::kLike;
        finals.measured.labels.push_back(known ? static_cast<float>(i % 3 == 0) : stream::kMissing);
        finals.measured.condition.push_back(1);
      }
    }
    whole.train(batch);
  }
  whole.freeze(stream::kClick, "test");
  StateLog log;
  log.commit(whole);
  Trainer restarted("m", early, recalibrated());
  log.restore(restarted);
  const auto before = restarted.report();
  for (Trainer* trainer : {&whole, &restarted}) {
    trainer->train(finals);
    const auto after = trainer->report();
    const auto figures = [](const TrainerReport& report, int task) {
      return *report.tasks[static_cast<std::size_t>(task)].recalibrated;
    };
    const auto click = figures(after, stream::kClick), was = figures(before, stream::kClick);
    EXPECT_EQ(click.line.shift, was.line.shift);
    EXPECT_EQ(click.line.slope, was.line.slope);
    EXPECT_EQ(click.output.all.rows, was.output.all.rows + 12 * kBatch);
    EXPECT_NE(figures(after, stream::kLike).line.shift, figures(before, stream::kLike).line.shift);
  }
  EXPECT_THAT(differences(state_of(restarted), state_of(whole)), ::testing::IsEmpty());
}

}  // namespace
}  // namespace millrace
