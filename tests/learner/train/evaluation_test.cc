// What a trainer tells of its models: the same with threads, after restarts and with masked labels,
// and never at the price of a weight.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kBatch = 64;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

EvaluateOptions everything() {
  EvaluateOptions options;
  options.composite = {{"click", 1}, {"dwell", 2}};
  options.business = {{"stay", "click * dwell"}};
  options.window = Duration{6'000};
  options.long_window = Duration{60'000};
  options.gauc_rows = 1'600;
  options.slices.feature = "item";
  options.slices.most = 5;
  options.history = {50, 8};
  options.importance.every = 3;
  options.gates = {.every = 2, .warmup_rows = 1'000, .even = 0.999999, .collapsed = 0.05};
  return options;
}

LearnerOptions with_everything() {
  LearnerOptions options = stream::options(kBatch);
  options.evaluate = everything();
  return options;
}

std::vector<Batch> draw(int count, std::uint64_t seed, int most_rows = kBatch) {
  stream::Source source(schema(), seed);
  std::mt19937_64 random(seed);
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) {
    const auto rows = 1 + static_cast<int>(random() % static_cast<std::uint64_t>(most_rows));
    Batch batch = source.next(rows);
    for (int r = 0; r < rows; ++r) batch.users.push_back(random() % 60);
    batches.push_back(std::move(batch));
  }
  return batches;
}

// Everything that is told, as numbers by their names, but for the last fifth.
std::map<std::string, std::optional<double>> told(const TrainerReport& report) {
  std::map<std::string, std::optional<double>> all;
  const auto figures = [&](const std::string& of, const Figures& f) {
    all[of + ".rows"] = static_cast<double>(f.rows);
    all[of + ".auc"] = f.auc;
    all[of + ".log_loss"] = f.log_loss;
    all[of + ".rmse"] = f.rmse;
    all[of + ".mae"] = f.mae;
    all[of + ".mean"] = f.prediction_mean;
  };
  const auto output = [&](const std::string& of, const OutputReport& o) {
    figures(of + ".all", o.all);
    figures(of + ".window", o.window);
    for (const NamedFigures& span : o.spans) figures(of + "." + span.name, span.figures);
    for (const NamedFigures& slice : o.slices) figures(of + ".s" + slice.name, slice.figures);
    if (o.gauc) all[of + ".gauc"] = o.gauc->value;
    for (std::size_t i = 0; i < o.history->size(); ++i) {
      figures(of + ".h" + std::to_string(i), (*o.history)[i].figures);
    }
  };
  for (const TaskReport& task : report.tasks) {
    output(task.name, task);
    if (task.entire) output(task.name + ".entire", *task.entire);
  }
  for (const CompositeReport& composite : report.composite) {
    if (composite.window != "last_fifth") all["composite." + composite.window] = composite.value;
  }
  for (const BusinessReport& figure : report.business) {
    for (const BusinessWindow& window : figure.windows) {
      all[figure.name + "." + window.name + ".observed"] = window.sums.observed;
      all[figure.name + "." + window.name + ".predicted"] = window.sums.predicted;
    }
  }
  for (const GateReport& gate : report.gates) {
    all["gate." + gate.task] = gate.entropy;
    all["gate." + gate.task + ".dead"] = gate.dead.at(0);
    all["gate." + gate.task + ".alarm"] = static_cast<double>(gate.alarm);
  }
  for (const FeatureImportance& feature : report.importance.features) {
    for (std::size_t k = 0; k < feature.values.size(); ++k) {
      all["importance." + feature.name + std::to_string(k)] = feature.values[k];
    }
    for (const IdImportance& id : feature.ids) {
      all["importance." + feature.name + "/" + std::to_string(id.key)] = id.values[0];
    }
  }
  return all;
}

TEST(Evaluation, ThreadsChangeNoBit) {
  LearnerOptions options = with_everything();
  options.train.batch = 600;
  Trainer one("m", schema(), options);
  options.train.threads = 2;
  Trainer two("m", schema(), options);
  for (const Batch& batch : draw(20, 1, 600)) {
    one.train(batch);
    two.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(two)), ::testing::IsEmpty());
  EXPECT_EQ(told(one.report()), told(two.report()));
}

TEST(Evaluation, ARestartAnywhereChangesNoFigure) {
  const auto batches = draw(150, 2);
  Trainer whole("m", schema(), with_everything());
  std::vector<std::string> notices;
  for (const Batch& batch : batches) {
    whole.train(batch);
    for (std::string& notice : whole.take_notices()) notices.push_back(std::move(notice));
  }
  const auto expected = told(whole.report());
  const auto expected_state = state_of(whole);
  EXPECT_TRUE(expected.at("click.gauc"));
  EXPECT_TRUE(expected.at("composite.all"));
  EXPECT_TRUE(expected.at("composite.6s"));
  EXPECT_TRUE(expected.at("stay.1m.observed"));
  EXPECT_GT(*expected.at("importance.user0"), 0);
  EXPECT_TRUE(expected.contains("gate.click"));

  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    std::mt19937_64 random(seed);
    StateLog log;
    auto trainer = std::make_unique<Trainer>("m", schema(), with_everything());
    std::vector<std::string> heard;
    for (const Batch& batch : batches) {
      trainer->train(batch);
      for (std::string& notice : trainer->take_notices()) heard.push_back(std::move(notice));
      if (random() % 5 != 0) continue;
      log.commit(*trainer, random() % 3);
      if (random() % 3 != 0) continue;
      trainer = std::make_unique<Trainer>("m", schema(), with_everything());
      log.restore(*trainer);
    }
    log.commit(*trainer);
    EXPECT_EQ(told(trainer->report()), expected) << seed;
    EXPECT_THAT(differences(log.digested(), expected_state), ::testing::IsEmpty()) << seed;
    EXPECT_EQ(heard, notices);
    // Other options read the same state.
    LearnerOptions other = stream::options(kBatch);
    other.evaluate.gauc_rows = 160;
    other.evaluate.window = Duration{60'000};
    other.evaluate.slices.feature = "user";
    Trainer changed("m", schema(), other);
    log.restore(changed);
    EXPECT_EQ(told(changed.report()).at("click.all.auc"), expected.at("click.all.auc"));
    EXPECT_EQ(changed.report().tasks[0].gauc->rows, 0U);
  }
}

TEST(Evaluation, ChangesNoWeight) {
  Trainer plain("m", schema(), stream::options(kBatch)), watched("m", schema(), with_everything());
  for (const Batch& batch : draw(60, 3)) {
    plain.train(batch);
    watched.train(batch);
  }
  std::vector<std::string> others;
  for (const std::string& name : differences(state_of(plain), state_of(watched))) {
    if (name.find(":metrics/") == std::string::npos &&
        name.find(":evaluate/") == std::string::npos) {
      others.push_back(name);
    }
  }
  EXPECT_THAT(others, ::testing::IsEmpty());
}

// The features of rows without a label are there; their labels never are.
TEST(Evaluation, AMaskedLabelIsInNoFigure) {
  std::vector<Batch> masked = draw(40, 4);
  std::uint64_t known = 0;
  for (Batch& batch : masked) {
    for (int r = 0; r < batch.rows; ++r) {
      float& label = batch.labels[static_cast<std::size_t>(r) * stream::kTasks + stream::kLike];
      if (r % 3 != 0) label = stream::kMissing;
      const auto cell = static_cast<std::size_t>(r) * stream::kTasks + stream::kLike;
      known += !std::isnan(label) && batch.condition[cell] == 1;
    }
  }
  Trainer trainer("m", schema(), with_everything());
  for (const Batch& batch : masked) trainer.train(batch);
  const TaskReport like = trainer.report().tasks[stream::kLike];
  EXPECT_EQ(like.all.rows, known);
  std::uint64_t sliced = 0;
  for (const NamedFigures& slice : like.slices) sliced += slice.figures.rows;
  EXPECT_EQ(sliced, known);
  EXPECT_LE(like.gauc->rows, known);
}

TEST(Evaluation, AReportInPartsComesToTheSame) {
  Trainer trainer("m", schema(), with_everything());
  for (const Batch& batch : draw(10, 5)) trainer.train(batch);
  for (int i = 0; i < 3; ++i) trainer.report(false);
  const auto parts = told(trainer.report(false));
  EXPECT_EQ(parts, told(trainer.report()));
}

}  // namespace
}  // namespace millrace
