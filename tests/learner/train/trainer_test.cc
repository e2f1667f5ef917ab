// What a trainer promises beside the mathematics: bits that no thread, commit or restart changes;
// batches that are not finite leave no trace; a missing label has no weight anywhere; what it
// publishes adds up to what it has.
#include "learner/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "learner/model/model.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kBatch = 32;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

std::vector<Batch> draw(int count, std::uint64_t seed, int most_rows = kBatch) {
  stream::Source source(schema(), seed);
  std::mt19937_64 random(seed);
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) {
    const int rows = random() % 2 == 0
                         ? most_rows
                         : 1 + static_cast<int>(random() % static_cast<std::uint64_t>(most_rows));
    batches.push_back(source.next(rows, random() % 4 == 0 ? Stream::kAtOnce : Stream::kMatured));
  }
  return batches;
}

TEST(Trainer, ThreadsChangeNoBit) {
  LearnerOptions options = stream::options(600);
  Trainer one("m", schema(), options);
  options.train.threads = 2;
  Trainer two("m", schema(), options);
  for (const Batch& batch : draw(12, 1, 600)) {
    one.train(batch);
    two.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(two)), ::testing::IsEmpty());
}

// Rounded factors cost less than another draw of the initial weights does.
TEST(Trainer, ProductsOfBf16LearnAsWellAndAnyThreadsGiveTheirBits) {
  constexpr int kSeeds = 5;
  double sum = 0, squares = 0, apart = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    LearnerOptions options = stream::options(256);
    options.train.seed = seed;
    options.model.expert_layers = {32, 16};
    Trainer exact("m", schema(), options);
    options.train.products = Products::kBf16;
    Trainer rounded("m", schema(), options);
    options.train.threads = 2;
    Trainer threads("m", schema(), options);
    stream::Source source(schema(), 3);
    for (int step = 0; step < 60; ++step) {
      const Batch batch = source.next(256);
      for (Trainer* trainer : {&exact, &rounded, &threads}) trainer->train(batch);
    }
    EXPECT_THAT(differences(state_of(rounded), state_of(threads)), ::testing::IsEmpty());
    EXPECT_THAT(differences(state_of(rounded), state_of(exact)),
                ::testing::Not(::testing::IsEmpty()));
    const double loss = *exact.report().tasks[stream::kClick].all.log_loss;
    sum += loss;
    squares += loss * loss;
    apart += std::fabs(*rounded.report().tasks[stream::kClick].all.log_loss - loss);
  }
  const double spread = std::sqrt(squares / kSeeds - sum / kSeeds * (sum / kSeeds));
  EXPECT_GT(apart, 0);
  EXPECT_LT(apart / kSeeds, spread);
}

TEST(Trainer, ARestartAnywhereChangesNoBit) {
  LearnerOptions options = stream::options(kBatch);
  options.embeddings.expire_after = Duration{4'000};
  options.embeddings.admit_after = 2;
  const auto batches = draw(300, 2);
  Trainer whole("m", schema(), options);
  for (const Batch& batch : batches) whole.train(batch);
  const auto expected = state_of(whole);
  ASSERT_GT(whole.report().tables[0].expired, 5U);

  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    std::mt19937_64 random(seed);
    StateLog log;
    auto trainer = std::make_unique<Trainer>("m", schema(), options);
    for (const Batch& batch : batches) {
      trainer->train(batch);
      if (random() % 6 == 0) trainer->publish();
      if (random() % 5 != 0) continue;
      // The oldest blocks are given up now and then: what lives in them is put again.
      log.commit(*trainer, random() % 3);
      if (random() % 3 != 0) continue;
      trainer = std::make_unique<Trainer>("m", schema(), options);
      log.restore(*trainer);
      ASSERT_TRUE(trainer->publish().complete);
    }
    log.commit(*trainer, 2);
    EXPECT_THAT(differences(log.digested(), expected), ::testing::IsEmpty()) << seed;
    EXPECT_LT(log.blocks("rows/user"), 30U);
    EXPECT_EQ(trainer->report().rows, whole.report().rows);
    EXPECT_EQ(trainer->report().tables[1].admitted, whole.report().tables[1].admitted);
    EXPECT_EQ(trainer->report().tasks[0].window.auc, whole.report().tasks[0].window.auc);
    EXPECT_EQ(trainer->publish().seen, whole.publish().seen);
  }
}

TEST(Trainer, ABatchThatIsNotFiniteLeavesNoTrace) {
  const std::vector<void (*)(Batch&)> damage{
      [](Batch& b) {
        b.labels[3] = INFINITY;
        b.condition[3] = 1;
      },
      [](Batch& b) {
        b.labels[3] = 1e30F;
        b.condition[3] = 1;
      },
      [](Batch& b) { b.dense[0] = NAN; },
      [](Batch& b) { b.dense.assign(b.dense.size(), 1e30F); },
      [](Batch& b) { b.weights[1] = INFINITY; },
  };
  for (std::size_t d = 0; d < damage.size(); ++d) {
    for (const int before : {0, 9}) {  // also where biases have not started
      Trainer clean("m", schema(), stream::options(kBatch));
      Trainer hit("m", schema(), stream::options(kBatch));
      stream::Source source(schema(), 3);
      for (int i = 0; i < before; ++i) {
        const Batch batch = source.next(kBatch);
        clean.train(batch);
        hit.train(batch);
      }
      Batch bad = source.next(kBatch, Stream::kMatured, 0);
      damage[d](bad);
      bad.columns[0].keys[0] = 77;  // a key that nobody has seen
      hit.train(bad);
      EXPECT_EQ(hit.report().skipped, 1U) << d;
      EXPECT_EQ(hit.probe().steps_skipped_not_finite, 1U);
      EXPECT_THAT(differences(state_of(hit), state_of(clean)), ::testing::IsEmpty()) << d;
      const Batch next = source.next(kBatch);
      clean.train(next);
      hit.train(next);
      EXPECT_THAT(differences(state_of(hit), state_of(clean)), ::testing::IsEmpty()) << d;
      EXPECT_EQ(hit.report().skipped, 1U);
    }
  }
}

// Rows whose label of a task is missing count for nothing in that task, whatever else they hold.
TEST(Trainer, AMissingLabelHasNoWeightAnywhere) {
  LearnerOptions options = stream::options(kBatch);
  options.balance.method = BalanceMethod::kFixed;
  Trainer one("m", schema(), options), two("m", schema(), options);
  stream::Source source(schema(), 4);
  for (int i = 0; i < 10; ++i) {
    Batch batch = source.next(kBatch);
    for (int r = 0; r < batch.rows; ++r) {
      for (const int k : {stream::kDwell, stream::kLike}) {
        batch.labels[static_cast<std::size_t>(r * stream::kTasks + k)] = stream::kMissing;
      }
    }
    one.train(batch);
    for (int r = 0; r < batch.rows; ++r) {
      for (const int k : {stream::kDwell, stream::kLike}) {
        batch.condition[static_cast<std::size_t>(r * stream::kTasks + k)] ^= 1;
      }
    }
    two.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(two)), ::testing::IsEmpty());
  const Publication published = one.publish();
  const Model<float> model(schema(), options.model);
  std::vector<float> initial(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(static_cast<std::uint64_t>(options.train.seed), initial);
  int towers = 0;
  for (const ParameterSlot& slot : model.parameters()) {
    // Towers of tasks without labels stand where they began, gates of theirs too.
    const bool theirs = slot.name.starts_with("tower.3") || slot.name.starts_with("tower.4");
    const bool others = slot.name.starts_with("tower.0");
    if (!theirs && !others) continue;
    ++towers;
    bool same = true;
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        const long at = slot.offset + r * (slot.stride > 0 ? slot.stride : slot.cols) + c;
        same &= published.dense->parameters[static_cast<std::size_t>(at)] ==
                initial[static_cast<std::size_t>(at)];
      }
    }
    EXPECT_EQ(same, theirs) << slot.name;
  }
  EXPECT_GE(towers, 6);
  const TrainerReport report = one.report();
  EXPECT_EQ(report.tasks[stream::kLike].all.rows, 0U);
  EXPECT_FALSE(report.tasks[stream::kLike].all.auc || report.tasks[stream::kLike].loss);
}

// A follower that applies every publication has what the trainer would publish as a whole.
TEST(Trainer, PublicationsAddUp) {
  LearnerOptions options = stream::options(kBatch);
  options.embeddings.expire_after = Duration{3'000};
  Trainer trainer("m", schema(), options), twin("m", schema(), options);
  std::vector<std::map<std::uint64_t, std::vector<float>>> tables(2);
  std::mt19937_64 random(5);
  std::size_t erased = 0;
  for (const Batch& batch : draw(80, 6)) {
    trainer.train(batch);
    twin.train(batch);
    if (random() % 4 != 0) continue;
    const Publication publication = trainer.publish();
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const TableUpdate& update = publication.tables[t];
      const std::size_t D = static_cast<std::size_t>(schema().tables()[t].dimension);
      for (std::size_t i = 0; i < update.keys.size(); ++i) {
        const auto first = update.rows.begin() + static_cast<std::ptrdiff_t>(i * D);
        tables[t][update.keys[i]].assign(first, first + static_cast<std::ptrdiff_t>(D));
      }
      for (const std::uint64_t key : update.erased) erased += tables[t].erase(key);
    }
    EXPECT_EQ(publication.seen, batch.seen);
  }
  EXPECT_GT(erased, 5U);
  const Publication last = trainer.publish();
  EXPECT_FALSE(last.complete);
  const Publication whole = twin.publish();
  EXPECT_TRUE(whole.complete);
  EXPECT_EQ(last.dense->parameters, whole.dense->parameters);
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::size_t D = static_cast<std::size_t>(schema().tables()[t].dimension);
    for (std::size_t i = 0; i < last.tables[t].keys.size(); ++i) {
      const auto first = last.tables[t].rows.begin() + static_cast<std::ptrdiff_t>(i * D);
      tables[t][last.tables[t].keys[i]].assign(first, first + static_cast<std::ptrdiff_t>(D));
    }
    for (const std::uint64_t key : last.tables[t].erased) tables[t].erase(key);
    ASSERT_EQ(tables[t].size(), whole.tables[t].keys.size());
    for (std::size_t i = 0; i < whole.tables[t].keys.size(); ++i) {
      const auto first = whole.tables[t].rows.begin() + static_cast<std::ptrdiff_t>(i * D);
      EXPECT_EQ(tables[t].at(whole.tables[t].keys[i]),
                std::vector<float>(first, first + static_cast<std::ptrdiff_t>(D)));
    }
  }
}

TEST(Trainer, ATaskUnderFnwIsNotMeasuredOnRowsAtOnce) {
  const Schema fnw(stream::features(), stream::tasks(FeedbackPolicy::kFnw));
  Trainer trainer("m", fnw, stream::options(kBatch));
  stream::Source source(fnw, 7);
  for (int i = 0; i < 5; ++i) trainer.train(source.next(kBatch, Stream::kAtOnce, 0));
  const TrainerReport report = trainer.report();
  EXPECT_EQ(report.tasks[stream::kClick].all.rows, 0U);
  EXPECT_FALSE(report.tasks[stream::kClick].all.log_loss);
  EXPECT_TRUE(report.tasks[stream::kClick].loss);
  // Samples of tasks that wait are measured as ever.
  EXPECT_EQ(report.tasks[stream::kCart].entire->all.rows, 5U * kBatch);
}

TEST(Trainer, RefusesAStateThatIsNotItsOwn) {
  Trainer trainer("m", schema(), stream::options(kBatch));
  stream::Source source(schema(), 8);
  trainer.train(source.next(kBatch));
  const StateChanges changes = trainer.save(1, {});
  LearnerOptions larger = stream::options(kBatch);
  larger.model.experts = 3;
  Trainer other("m", schema(), larger);
  for (const auto& value : changes.values) {
    if (value.name == "dense") {
      EXPECT_THROW(other.restore_value(value.name, value.bytes), StateError);
    }
    Trainer same("m", schema(), stream::options(kBatch));
    const std::string_view bytes = value.bytes;
    EXPECT_THROW(same.restore_value(value.name, bytes.substr(0, bytes.size() - 1)), StateError)
        << value.name;
    EXPECT_THROW(same.restore_value(value.name, value.bytes + "x"), StateError) << value.name;
  }
  EXPECT_THROW(other.restore_value("unknown", ""), StateError);
  EXPECT_THROW(other.restore_block("rows/unknown", 1, ""), StateError);
  EXPECT_THROW(other.restored(), StateError);
}

}  // namespace
}  // namespace millrace
