// Any combination of inputs, backbone, heads, balancing and surgery learns with finite numbers, or
// the configuration refuses it and says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "learner/data/derived_keys.h"
#include "learner/train/trainer.h"
#include "tests/ops/config/config_texts.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

struct Choice {
  const char* name;
  const char* text;
};

constexpr Choice kInputs[] = {
    {"keys",
     "  - {name: user, type: categorical, dimension: 3, context: true}\n"
     "  - {name: tags, type: bag, dimension: 2, pooling: sum}\n"},
    {"numbers",
     "  - {name: price, type: numeric, transform: log1p}\n"
     "  - {name: taste, type: dense, width: 3}\n"},
    {"crosses",
     "  - {name: user, type: categorical, dimension: 2, context: true}\n"
     "  - {name: item, type: categorical, dimension: 2}\n"
     "  - {name: age, type: numeric, boundaries: [18, 25.5], dimension: 2, context: true}\n"
     "  - {name: both, type: cross, of: [user, item], dimension: 2}\n"},
    {"shared",
     "  - {name: item, type: categorical, dimension: 2}\n"
     "  - {name: seen, type: bag, dimension: 2, table: item}\n"
     "  - {name: price, type: numeric}\n"}};

constexpr Choice kBackbones[] = {
    {"shared_bottom", "backbone: shared_bottom"},
    {"mmoe", "backbone: mmoe"},
    {"one_gate", "backbone: mmoe, one_gate: true"},
    {"mmoe_options",
     "backbone: mmoe, expert_norm: true, gate_layers: [3], learn_temperature: true, "
     "gate_dropout: 0.1"},
    {"cgc", "backbone: cgc"},
    {"ple", "backbone: ple"},
    {"ple_norm", "backbone: ple, expert_norm: true, shared_gate: shared"},
    {"stem", "backbone: stem"},
    {"separate", "backbone: separate"},
    {"concat", "backbone: shared_specific"},
    {"measured", "backbone: shared_specific, shared_mix: measured"},
    {"learned", "backbone: shared_specific, shared_mix: learned"}};

constexpr Choice kHeads[] = {
    {"binary", "  - {name: a, label: click}\n  - {name: b, label: like}\n"},
    {"one", "  - {name: a, label: click}\n"},
    {"chain",
     "  - {name: a, label: click}\n  - {name: b, label: cart, given: a}\n"
     "  - {name: c, label: buy, given: b}\n"},
    {"condition",
     "  - {name: a, label: click}\n  - {name: b, label: like, given: a, entire_space: false}\n"
     "  - {name: c, label: cart, kind: regression, given: a, entire_space: false}\n"},
    {"values",
     "  - {name: a, label: click, kind: regression, loss: huber}\n"
     "  - {name: b, label: cart, kind: count}\n"
     "  - {name: c, label: buy, kind: duration}\n"}};

constexpr Choice kMethods[] = {
    {"fixed", "fixed"}, {"uncertainty", "uncertainty"}, {"gradnorm", "gradnorm"}, {"dwa", "dwa"},
    {"dtp", "dtp"},     {"performance", "performance"}, {"random", "random"}};
constexpr Choice kSurgeries[] = {{"none", "none"}, {"pcgrad", "pcgrad"}, {"cagrad", "cagrad"}};

std::string text_of(const std::string& inputs, const std::string& model, const std::string& tasks,
                    const std::string& balance, const std::string& more = "",
                    const std::string& dense = "") {
  return "events:\n  impression:\n  click: {window: 10m}\n  like: {window: 10m}\n"
         "  cart: {window: 10m}\n  buy: {window: 10m}\n"
         "features:\n" +
         inputs + "tasks:\n" + tasks + "model: {" + model + (model.empty() ? "" : ", ") +
         "experts: 2, task_experts: 1, shared_experts: 1, expert_layers: [4, 3], tower_layers: "
         "[2]}\nbalance: {" +
         balance + "}\ntrain: {batch: 16, dense: {" + dense + "}}\n" + more;
}

/// Batches of random rows for any schema.
class Rows {
 public:
  Rows(const Schema& schema, std::uint64_t seed) : schema_(schema), random_(seed) {}

  Batch next(int rows, double missing = 0.4) {
    Batch batch = empty_batch(schema_, Stream::kMatured);
    for (int r = 0; r < rows; ++r) {
      const auto& features = schema_.key_features();
      for (std::size_t c = 0; c < features.size(); ++c) {
        if (schema_.is_cross(features[c])) continue;
        KeyColumn& column = batch.columns[c];
        const bool bag =
            schema_.features()[static_cast<std::size_t>(features[c])].kind == FeatureKind::kBag;
        for (std::uint64_t n = bag ? random_() % 3 : 1; n > 0; --n) {
          column.keys.push_back(1 + random_() % 9);
        }
        if (bag) column.ends.push_back(static_cast<std::uint32_t>(column.keys.size()));
      }
      append_crosses(schema_, batch);
      for (std::size_t i = 0; i < schema_.numeric_features().size(); ++i) {
        batch.numeric.push_back(normal());
      }
      for (int i = 0; i < schema_.dense_width(); ++i) batch.dense.push_back(normal());
      add_labels(batch, missing);
      batch.weights.push_back(random_() % 4 == 0 ? 2.0F : 1.0F);
    }
    batch.rows = rows;
    batch.due = batch.seen = {time_ += 250};
    return batch;
  }

 private:
  float normal() { return static_cast<float>(normal_(random_)); }
  bool drawn(double p) { return std::uniform_real_distribution<double>()(random_) < p; }
  void add_labels(Batch& batch, double missing) {
    constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
    const std::size_t first = batch.labels.size();
    for (const Task& task : schema_.tasks()) {
      const bool given = task.given >= 0;
      const float condition =
          given ? batch.labels[first + static_cast<std::size_t>(task.given)] : 1.0F;
      const bool holds = condition == 1;
      const float value = task.kind == TaskKind::kBinary     ? static_cast<float>(drawn(0.4))
                          : task.kind == TaskKind::kCount    ? static_cast<float>(random_() % 4)
                          : task.kind == TaskKind::kDuration ? std::abs(normal())
                                                             : normal();
      const bool known = !std::isnan(condition) && !drawn(missing);
      const float otherwise = task.entire_space && condition == 0 ? 0 : kMissing;
      batch.labels.push_back(holds && known ? value : known ? otherwise : kMissing);
      batch.condition.push_back(holds ? 1 : 0);
    }
  }

  const Schema& schema_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::int64_t time_ = 1'764'000'000'000;
};

/// Empty, or what is wrong with what was learned from a few batches.
std::string fault_of(const Config& config, int steps = 4) {
  const Schema schema = config.schema();
  Trainer trainer("m", schema, config.learner);
  Rows rows(schema, 5);
  for (int step = 0; step < steps; ++step) trainer.train(rows.next(step % 2 == 0 ? 16 : 5));
  const TrainerReport report = trainer.report();
  if (report.skipped > 0) return "a batch was not finite";
  if (report.steps == 0) return "nothing was learned";
  double sum = 0;
  for (const TaskReport& task : report.tasks) {
    sum += task.weight;
    if (task.loss && !std::isfinite(*task.loss)) return "the loss of " + task.name;
  }
  if (!(std::abs(sum - static_cast<double>(report.tasks.size())) < 1e-6)) return "the weights";
  if (!trainer.held().empty()) return "what would be published";
  return {};
}

TEST(Combinations, AllLearn) {
  int count = 0;
  for (const Choice& inputs : kInputs) {
    for (const Choice& backbone : kBackbones) {
      for (const Choice& heads : kHeads) {
        for (const Choice& method : kMethods) {
          const bool nothing_shared = std::string(backbone.name) == "separate";
          if (nothing_shared && std::string(method.name) == "gradnorm") continue;  // refused
          for (const Choice& surgery : kSurgeries) {
            const std::string what = std::string(inputs.name) + ", " + backbone.name + ", " +
                                     heads.name + ", " + method.name + ", " + surgery.name;
            const auto read = load_config_text(
                text_of(inputs.text, backbone.text, heads.text,
                        std::string("method: ") + method.text + ", surgery: " + surgery.text),
                "f", {});
            ASSERT_TRUE(read) << what << ": " << read.error().message;
            ASSERT_EQ(fault_of(read->config), "") << what;
            ++count;
          }
        }
      }
    }
  }
  EXPECT_EQ(count, 4 * 5 * 3 * (12 * 7 - 1));
}

// What cannot be meant is refused, and the answer names the option and what stands against it.
TEST(Combinations, WhatCannotBeIsRefused) {
  struct Refusal {
    const char *model, *balance, *more, *answer, *dense = "";
  };
  const Refusal refusals[] = {
      {"backbone: shared_bottom, expert_norm: true", "", "",
       "model.expert_norm: needs the backbone mmoe or cgc or ple or stem; it is shared_bottom"},
      {"backbone: shared_specific, load_balance: 0.1", "", "",
       "model.load_balance: needs the backbone mmoe"},
      {"backbone: mmoe, load_balance: 0.1", "surgery: pcgrad", "",
       "model.load_balance: cannot work with balance.surgery: pcgrad"},
      {"backbone: mmoe, gate_entropy: 0.1", "surgery: cagrad", "",
       "model.gate_entropy: cannot work with balance.surgery: cagrad"},
      {"backbone: shared_specific, shared_mix: measured", "", "relations: {every: 0}\n",
       "model.shared_mix: measured goes by the gradients' cosines"},
      {"backbone: separate", "method: gradnorm", "",
       "balance.method: gradnorm goes by the gradients in the last layer that all tasks share"},
      {"backbone: separate, shared_mix: learned", "", "", "model.shared_mix: needs the backbone"},
      {"backbone: mmoe, shared_mix: learned", "", "", "model.shared_mix: needs the backbone"},
      {"backbone: cgc, one_gate: true", "", "", "model.one_gate: needs the backbone mmoe"},
      {"backbone: mmoe, dropout: 0.1", "", "", "model.dropout: needs the backbone shared_bottom"},
      {"backbone: stem, shared_gate: none", "", "", "model.shared_gate: needs the backbone ple"},
      {"backbone: ple, stem_gate_input: own", "", "",
       "model.stem_gate_input: needs the backbone stem"},
      {"backbone: mmoe", "method: gradnorm, decay: {a: 0.5}", "",
       "balance.decay: needs `method: fixed`"},
      {"backbone: mmoe", "surgery: pcgrad", "",
       "train.dense.task_states: cannot work with balance.surgery: pcgrad", "task_states: true"},
      {"backbone: mmoe, load_balance: 0.1", "", "",
       "model.load_balance: cannot work with train.dense.task_states", "task_states: true"},
      {"backbone: mmoe", "", "",
       "train.dense.task_states: has no effect; expected `optimizer: adam`",
       "task_states: true, optimizer: sgd"},
  };
  for (const Refusal& refusal : refusals) {
    EXPECT_THAT(errors(text_of(kInputs[0].text, refusal.model, kHeads[0].text, refusal.balance,
                               refusal.more, refusal.dense)),
                HasSubstr(refusal.answer));
  }
}

// Each option that is off by default, on, alone and with what it has to work with.
TEST(Combinations, OptionsOfGatesAndExpertsLearn) {
  for (const char* backbone : {"mmoe", "cgc", "ple", "stem"}) {
    for (const char* option :
         {"load_balance: 0.1", "gate_entropy: 0.1", "gate_bias: true", "gate_temperature: 2",
          "learn_temperature: true", "gate_dropout: 0.2", "expert_norm: true",
          "load_balance: 0.1, gate_dropout: 0.2, expert_norm: true, gate_layers: [3]"}) {
      for (const Choice& method : kMethods) {
        const std::string model = std::string("backbone: ") + backbone + ", " + option;
        const Config config = loaded(
            text_of(kInputs[3].text, model, kHeads[2].text, std::string("method: ") + method.text));
        ASSERT_EQ(fault_of(config), "") << model << ", " << method.name;
      }
    }
  }
}

// A state of each task's own, with every network, chain and balancer.
TEST(Combinations, StatesOfTasksLearn) {
  for (const Choice& backbone : kBackbones) {
    for (const Choice& heads : kHeads) {
      for (const Choice& method : kMethods) {
        const std::string what =
            std::string(backbone.name) + ", " + heads.name + ", " + method.name;
        if (what.starts_with("separate") && what.ends_with("gradnorm")) continue;  // refused
        for (const char* optimizer : {"adam", "adamw", "adagrad"}) {
          const Config config = loaded(text_of(
              kInputs[3].text, backbone.text, heads.text, std::string("method: ") + method.text, "",
              std::string("task_states: true, optimizer: ") + optimizer));
          ASSERT_EQ(fault_of(config), "") << what << ", " << optimizer;
        }
      }
    }
  }
}

// 128 tasks of which two labels in five are missing.
TEST(Combinations, ManyTasksWithMissingLabelsLearn) {
  std::string tasks;
  for (int k = 0; k < 128; ++k) {
    const char* kind = k % 4 == 1 ? ", kind: regression" : k % 4 == 3 ? ", kind: count" : "";
    tasks += "  - {name: t" + std::to_string(k) + ", label: click" + kind + "}\n";
  }
  for (const Choice& method : kMethods) {
    for (const Choice& surgery : kSurgeries) {
      for (const char* backbone : {"mmoe", "ple", "shared_bottom"}) {
        const Config config = loaded(text_of(
            kInputs[3].text, std::string("backbone: ") + backbone, tasks,
            std::string("window: 2, method: ") + method.text + ", surgery: " + surgery.text));
        ASSERT_EQ(fault_of(config, 6), "")
            << backbone << ", " << method.name << ", " << surgery.name;
      }
    }
  }
}

}  // namespace
}  // namespace millrace
