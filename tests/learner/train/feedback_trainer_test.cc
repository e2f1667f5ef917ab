// Labels that are trained before they are decided, through the whole trainer: the score that counts
// is the one from before the impression's first row; the heads move no other weight; threads and
// restarts change no bit.
#include <gtest/gtest.h>

#include <limits>
#include <memory>

#include "learner/train/first_scores.h"
#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kBatch = 32;

Schema schema_with(FeedbackPolicy click, FeedbackPolicy buy, FeedbackPolicy like) {
  std::vector<Task> tasks = stream::tasks(click);
  tasks[stream::kBuy].policy = buy;
  tasks[stream::kLike].policy = like;
  return {stream::features(), tasks};
}

// Any origins, targets, keys and final labels that a batch may hold.
class FeedbackStream {
 public:
  FeedbackStream(const Schema& schema, std::uint64_t seed)
      : schema_(schema), source_(schema, seed), random_(seed) {}

  Batch next(int rows) {
    const Stream stream = random_() % 2 == 0 ? Stream::kAtOnce : Stream::kMatured;
    Batch batch = source_.next(rows, stream, 0.3);
    const std::size_t T = schema_.tasks().size();
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      batch.keys[i] = next_key_ - random_() % 40;
      next_key_ += random_() % 2;
      for (std::size_t k = 0; k < T; ++k) {
        const FeedbackPolicy policy = schema_.tasks()[k].policy;
        if (policy == FeedbackPolicy::kWait) continue;
        const std::size_t cell = i * T + k;
        batch.origin[cell] = static_cast<Origin>(1 + random_() % 2);
        if (policy == FeedbackPolicy::kDefer) {
          batch.origin[cell] = static_cast<Origin>(1 + random_() % 4);
        }
        if (policy == FeedbackPolicy::kDfm) {
          batch.until.resize(batch.labels.size(), stream::kMissing);
          batch.since.resize(batch.labels.size());
          const auto since = static_cast<float>(random_() % 3 * 500'000);
          const bool never = stream == Stream::kMatured && !(batch.labels[cell] > 0.5F);
          batch.since[cell] = since;
          batch.until[cell] = never ? std::numeric_limits<float>::infinity()
                                    : since + static_cast<float>(random_() % 3'000'000);
          continue;
        }
        if (!has_short_wait(policy) || stream == Stream::kAtOnce) continue;
        batch.targets[cell] = static_cast<std::uint8_t>(random_() % 16);
      }
    }
    for (std::uint64_t n = random_() % 20; n > 0; --n) {
      batch.measured.keys.push_back(next_key_ - 20 - random_() % 60);
      batch.measured.weights.push_back(random_() % 2 == 0 ? 1.0F : 4.0F);
      batch.measured.last.push_back(random_() % 2);
      for (std::size_t k = 0; k < T; ++k) {
        const bool early = schema_.tasks()[k].policy != FeedbackPolicy::kWait;
        batch.measured.labels.push_back(early ? static_cast<float>(random_() % 2)
                                              : stream::kMissing);
        batch.measured.condition.push_back(random_() % 2);
      }
    }
    return batch;
  }

 private:
  const Schema& schema_;
  stream::Source source_;
  std::mt19937_64 random_;
  std::uint64_t next_key_ = 1000;
};

class FeedbackTrainer : public ::testing::TestWithParam<FeedbackPolicy> {
 protected:
  const Schema schema = schema_with(GetParam(), GetParam(), GetParam());
};

TEST_P(FeedbackTrainer, ThreadsAndRestartsChangeNoBit) {
  LearnerOptions two_threads = stream::options(512);
  two_threads.train.threads = 2;
  Trainer one("m", schema, stream::options(512)), two("m", schema, two_threads);
  auto third = std::make_unique<Trainer>("m", schema, two_threads);
  FeedbackStream batches(schema, 3);
  StateLog first_log, second_log, third_log;
  for (int i = 0; i < 30; ++i) {
    const Batch batch = batches.next(1 + i * 17);
    one.train(batch);
    two.train(batch);
    third->train(batch);
    if (i % 7 == 3) {
      third_log.commit(*third, 1);
      third = std::make_unique<Trainer>("m", schema, stream::options(512));
      third_log.restore(*third);
    }
  }
  first_log.commit(one);
  second_log.commit(two);
  third_log.commit(*third);
  EXPECT_EQ(first_log.digested(), second_log.digested());
  EXPECT_EQ(first_log.digested(), third_log.digested());
  const TrainerReport report = one.report(), after = third->report();
  EXPECT_GT(report.tasks[stream::kClick].all.rows, 20U);
  EXPECT_EQ(report.tasks[stream::kClick].all.log_loss, after.tasks[stream::kClick].all.log_loss);
  EXPECT_GT(report.tasks[stream::kBuy].entire->all.rows, 20U);
  EXPECT_GT(report.scores.waiting, 10U);
  EXPECT_EQ(report.scores.waiting, after.scores.waiting);
  EXPECT_GT(report.scores.missed, 0U);
  EXPECT_EQ(report.scores.missed, after.scores.missed);
}

INSTANTIATE_TEST_SUITE_P(Policies, FeedbackTrainer,
                         ::testing::Values(FeedbackPolicy::kFnw, FeedbackPolicy::kFnc,
                                           FeedbackPolicy::kEsDfm, FeedbackPolicy::kDefer,
                                           FeedbackPolicy::kDefuse, FeedbackPolicy::kDfm));

// Final labels weigh 1 whatever the heads say: with targets and without, the model is the same.
TEST(TrainedEarly, HeadsMoveNoOtherWeight) {
  const Schema schema =
      schema_with(FeedbackPolicy::kEsDfm, FeedbackPolicy::kDefer, FeedbackPolicy::kWait);
  Trainer with("m", schema, stream::options(kBatch)), without("m", schema, stream::options(kBatch));
  FeedbackStream batches(schema, 5);
  for (int i = 0; i < 20; ++i) {
    Batch batch = batches.next(kBatch);
    std::fill(batch.origin.begin(), batch.origin.end(), Origin::kFinal);
    std::fill(batch.targets.begin(), batch.targets.end(), std::uint8_t{0b0101});
    with.train(batch);
    std::fill(batch.targets.begin(), batch.targets.end(), std::uint8_t{0});
    without.train(batch);
  }
  EXPECT_EQ(with.report().heads.size(), 3U);
  EXPECT_EQ(without.report().heads.size(), 0U);
  const Publication a = with.publish(), b = without.publish();
  EXPECT_EQ(a.dense->parameters, b.dense->parameters);
  for (std::size_t t = 0; t < a.tables.size(); ++t) EXPECT_EQ(a.tables[t].rows, b.tables[t].rows);
}

// The score from before the first row, though the model has learned a lot since.
TEST(TrainedEarly, TheFirstScoreCounts) {
  const Schema fnw =
      schema_with(FeedbackPolicy::kFnw, FeedbackPolicy::kWait, FeedbackPolicy::kWait);
  const Schema plain =
      schema_with(FeedbackPolicy::kWait, FeedbackPolicy::kWait, FeedbackPolicy::kWait);
  Trainer early("m", fnw, stream::options(kBatch)), late("m", plain, stream::options(kBatch));
  Batch batch = stream::Source(fnw, 4).next(kBatch, Stream::kAtOnce, 0);
  Batch final = batch;
  std::fill(final.origin.begin(), final.origin.end(), Origin::kFinal);
  late.train(final);  // measures in the same pass
  const Figures honest = late.report().tasks[stream::kClick].all;

  for (std::size_t i = 0; i < kBatch; ++i) batch.keys[i] = 100 + i;
  for (int again = 0; again < 50; ++again) early.train(batch);
  EXPECT_EQ(early.report().tasks[stream::kClick].all.rows, 0U);
  EXPECT_EQ(early.report().scores.waiting, std::uint64_t{kBatch});
  Batch finals = empty_batch(fnw, Stream::kMatured);
  for (std::size_t i = 0; i < kBatch; ++i) {
    finals.measured.keys.push_back(100 + i);
    finals.measured.weights.push_back(batch.weights[i]);
    finals.measured.last.push_back(1);
    for (int k = 0; k < stream::kTasks; ++k) {
      finals.measured.labels.push_back(k == stream::kClick ? batch.labels[i * stream::kTasks]
                                                           : stream::kMissing);
      finals.measured.condition.push_back(1);
    }
  }
  early.train(finals);
  const Figures measured = early.report().tasks[stream::kClick].all;
  EXPECT_EQ(measured.rows, honest.rows);
  EXPECT_EQ(measured.positives, honest.positives);
  EXPECT_NEAR(*measured.log_loss, *honest.log_loss, 1e-6);
  EXPECT_EQ(early.report().scores.waiting, 0U);
  EXPECT_EQ(early.report().scores.missed, 0U);
}

// Their memory is what is told of each, but for the room to grow of an index.
TEST(TrainedEarly, ScoresTakeTheMemoryThatIsTold) {
  const Schema fnw =
      schema_with(FeedbackPolicy::kFnw, FeedbackPolicy::kWait, FeedbackPolicy::kWait);
  Trainer trainer("m", fnw, stream::options(kBatch));
  stream::Source source(fnw, 4);
  Batch batch = source.next(kBatch, Stream::kAtOnce, 0);
  std::uint64_t key = 1;
  while (trainer.report().scores.waiting < 50'000) {
    for (auto& k : batch.keys) k = key++;
    trainer.train(batch);
  }
  const ScoresReport scores = trainer.report().scores;
  EXPECT_EQ(scores.bytes_each, FirstScores::bytes_each(fnw));
  const double told = static_cast<double>(scores.waiting * scores.bytes_each);
  EXPECT_GT(static_cast<double>(scores.bytes), 0.8 * told);
  EXPECT_LT(static_cast<double>(scores.bytes), 2 * told);

  const Schema wait =
      schema_with(FeedbackPolicy::kWait, FeedbackPolicy::kWait, FeedbackPolicy::kWait);
  EXPECT_EQ(Trainer("m", wait, stream::options(kBatch)).report().scores.bytes_each, 0U);
}

// A score whose labels never come goes by event time.
TEST(TrainedEarly, ScoresAreForgotten) {
  const Schema fnw =
      schema_with(FeedbackPolicy::kFnw, FeedbackPolicy::kWait, FeedbackPolicy::kWait);
  LearnerOptions options = stream::options(kBatch);
  options.train.feedback.forget_after = Duration{3'600'000};
  Trainer trainer("m", fnw, options);
  stream::Source source(fnw, 4);
  Batch batch = source.next(kBatch, Stream::kAtOnce, 0);
  for (std::size_t i = 0; i < kBatch; ++i) batch.keys[i] = 100 + i;
  trainer.train(batch);
  for (auto& key : batch.keys) key += 1000;
  batch.due = batch.due + Duration{1'800'000};
  trainer.train(batch);
  EXPECT_EQ(trainer.report().scores.waiting, 2U * kBatch);
  for (auto& key : batch.keys) key += 1000;
  batch.due = batch.due + Duration{2'400'000};
  trainer.train(batch);
  EXPECT_EQ(trainer.report().scores.waiting, 2U * kBatch);
}

}  // namespace
}  // namespace millrace
