// A list of models: each is the sections with what it changes, held against everything that holds
// of a configuration; what is the stream's is refused with its place.
#include "ops/config/models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/config/explain.h"
#include "ops/config/load.h"
#include "tests/support/funnel_files.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

Config loaded(const std::string& more) {
  const auto result = load_config_text(funnel_shop("state", more), "f", {});
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : Config{};
}

std::string errors(const std::string& more) {
  const auto result = load_config_text(funnel_shop("state", more), "f", {});
  return result ? "" : result.error().message;
}

constexpr const char* kModels =
    "balance: {method: fixed, weights: {ctr: 2}}\n"
    "train: {batch: 64, dense: {rate: 0.01}}\n"
    "models:\n"
    "  - {name: shop}\n"
    "  - {name: wide, model: {experts: 7}, train: {seed: 9, dense: {clip: clippy}}}\n"
    "  - {name: ctr_only, tasks: [ctr], features: [price, item_id]}\n"
    "  - name: cvr_only\n"
    "    tasks: [cvr]\n"
    "    balance: {method: uncertainty, weights: {}}\n";

TEST(Models, EachIsTheSectionsWithWhatItChanges) {
  const Config config = loaded(kModels);
  const std::vector<ModelPlan> plans = model_plans(config);
  ASSERT_EQ(plans.size(), 4U);
  EXPECT_EQ(plans[0].options.model.experts, config.learner.model.experts);
  EXPECT_TRUE(plans[0].projection.is_whole());
  EXPECT_EQ(plans[1].options.model.experts, 7);
  EXPECT_EQ(plans[1].options.train.seed, 9);
  EXPECT_EQ(plans[1].options.train.dense.clip, UpdateClipping::kClippy);
  EXPECT_EQ(plans[1].options.train.dense.rate, 0.01);
  EXPECT_EQ(plans[1].options.train.batch, 64);
  EXPECT_EQ(plans[1].options.balance.weights.at("ctr"), 2);
  EXPECT_THAT(plans[2].projection.tasks(), ElementsAre(0));
  EXPECT_THAT(plans[2].projection.features(), ElementsAre(1, 2));
  EXPECT_EQ(plans[3].options.balance.method, BalanceMethod::kUncertainty);
  EXPECT_FALSE(plans[3].projection.schema().tasks()[0].entire_space);
  EXPECT_EQ(config.learner.model.experts, ModelOptions{}.experts);
}

TEST(Models, OneWithoutATaskHasNothingOfIt) {
  const Config config = loaded(
      "balance: {method: fixed, weights: {ctr: 2, cvr: 3}}\n"
      "train: {labels: {ratio: {ctr: 5, cvr: 6}, curriculum: {steps: {cvr: 100}}}, "
      "recalibrate: {ctr: 1000, cvr: 2000}}\n"
      "models: [{name: a}, {name: b, tasks: [cvr]}, {name: c, train: {labels: {ratio: {}}}}]\n");
  const auto& whole = config.models[0].learner;
  const auto& part = config.models[1].learner;
  EXPECT_EQ(whole.train.labels.ratio.size(), 2U);
  EXPECT_EQ(whole.train.labels.curriculum.steps.size(), 1U);
  EXPECT_EQ(part.balance.weights.size(), 1U);
  EXPECT_EQ(part.train.labels.ratio.at("cvr"), 6);
  EXPECT_FALSE(part.train.labels.ratio.contains("ctr"));
  EXPECT_TRUE(part.train.labels.curriculum.steps.empty());
  EXPECT_THAT(part.train.recalibrate, ElementsAre(Pair("cvr", 2000)));
  EXPECT_TRUE(config.models[2].learner.train.labels.ratio.empty());
}

TEST(Models, WithoutTheListThereIsOneOfTheSections) {
  const std::vector<ModelPlan> plans = model_plans(loaded(""));
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].name, "shop");
  EXPECT_TRUE(plans[0].projection.is_whole());
}

TEST(Models, WhatIsPrintedLoadsBackToTheSame) {
  const std::string twins = std::string(kModels) + "twins: {tasks: [ctr, cvr], blocks: 30}\n";
  const Config config = loaded(twins);
  const auto again = load_config_text(print_config(config), "printed", {});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(print_config(again->config), print_config(config));
  EXPECT_EQ(config_identity(again->config), config_identity(config));
  EXPECT_EQ(again->config.models[1].learner.model.experts, 7);
  EXPECT_THAT(again->config.twins.tasks, ElementsAre("ctr", "cvr"));
  EXPECT_EQ(again->config.twins.alarm.blocks, 30);
}

TEST(Models, WhatIsTheStreamsIsRefusedWithItsPlace) {
  const std::string said = errors(
      "models:\n"
      "  - {name: a}\n"
      "  - name: b\n"
      "    train:\n"
      "      batch: 32\n"
      "      shed: 0.5\n"
      "    join: {memory: 1MiB}\n"
      "    guardrails: {user_cap: {rows: 3}}\n"
      "    modell: {experts: 2}\n");
  EXPECT_THAT(said, HasSubstr("f:21: models.b.train.batch: is one for all models"));
  EXPECT_THAT(said, HasSubstr("f:22: models.b.train.shed: is one for all models"));
  EXPECT_THAT(said, HasSubstr("f:23: models.b.join: is one for all models"));
  EXPECT_THAT(said, HasSubstr("models.b.guardrails.user_cap: is one for all models"));
  EXPECT_THAT(said, HasSubstr("models.b.modell: unknown key; did you mean model?"));
}

TEST(Models, WhatMustHoldOfAConfigurationHoldsOfEach) {
  EXPECT_THAT(errors("models:\n"
                     "  - {name: a}\n"
                     "  - name: b\n"
                     "    model: {experts: 0}\n"
                     "    balance: {method: fixed, weights: {nothing: 1}}\n"),
              ::testing::AllOf(HasSubstr("f:20: models.b.model.experts: 0 is less than 1"),
                               HasSubstr("f:21: models.b.balance.weights.nothing: there is no "
                                         "such task")));
  EXPECT_THAT(errors("models: [{name: a}, {name: a}]\n"), HasSubstr("a is the name of two models"));
  EXPECT_THAT(errors("models: [{tasks: [ctr]}]\n"), HasSubstr("is missing; expected the model's"));
  EXPECT_THAT(errors("models: [{name: a/b}]\n"), HasSubstr("a/b is no name"));
  EXPECT_THAT(errors("models: [{name: a, tasks: [click]}]\n"),
              HasSubstr("click is none of the tasks; expected names of ctr, cvr and dwell"));
  EXPECT_THAT(errors("models: [{name: a, features: []}]\n"), HasSubstr("expected a list of names"));
  EXPECT_THAT(errors("models: []\n"), HasSubstr("expected a list of models"));
  EXPECT_THAT(errors("train: {delayed_feedback: {cvr: fnw}}\nmodels: [{name: a, tasks: [cvr]}]\n"),
              HasSubstr("expected its condition beside it"));
}

TEST(Models, TwinsAreModelsOfOneTask) {
  const std::vector<ModelPlan> plans =
      model_plans(loaded("model: {experts: 3}\ntwins: {tasks: [cvr]}\n"));
  ASSERT_EQ(plans.size(), 2U);
  EXPECT_EQ(plans[1].name, "twin.cvr");
  EXPECT_EQ(plans[1].twin_of, 1);
  EXPECT_EQ(plans[1].options.model.experts, 3);
  EXPECT_THAT(errors("twins: {tasks: [no]}\n"), HasSubstr("f:17: twins.tasks: no is none of the"));
  EXPECT_THAT(errors("twins: {task: [ctr]}\n"), HasSubstr("unknown key"));
  EXPECT_THAT(errors("models: [{name: a, tasks: [ctr]}]\ntwins: {tasks: [ctr]}\n"),
              HasSubstr("no model has every task"));
  EXPECT_THAT(errors("train: {delayed_feedback: {cvr: fnw}}\ntwins: {tasks: [cvr]}\n"),
              HasSubstr("no twin can learn it"));
}

TEST(Models, TwinsHaveNothingOfOtherTasks) {
  const std::vector<ModelPlan> plans = model_plans(
      loaded("train: {labels: {ratio: {ctr: 1, cvr: 5}, oversample: {dwell: 2, cvr: 4}}, "
             "recalibrate: {ctr: 1000, cvr: 2000}}\n"
             "twins: {tasks: [ctr, cvr]}\n"));
  ASSERT_EQ(plans.size(), 3U);
  EXPECT_THAT(plans[1].options.train.labels.ratio, ElementsAre(Pair("ctr", 1)));
  EXPECT_THAT(plans[1].options.train.labels.oversample, IsEmpty());
  EXPECT_THAT(plans[1].options.train.recalibrate, ElementsAre(Pair("ctr", 1000)));
  EXPECT_THAT(plans[2].options.train.labels.ratio, ElementsAre(Pair("cvr", 5)));
  EXPECT_THAT(plans[2].options.train.labels.oversample, ElementsAre(Pair("cvr", 4)));
}

TEST(Models, IdentityIsByModel) {
  const std::string one = config_identity(loaded(""));
  const std::string same = config_identity(loaded("models: [{name: shop}]\n"));
  const std::string two =
      config_identity(loaded("models: [{name: shop}, {name: b.c, model: {experts: 6}}]\n"));
  const std::string other =
      config_identity(loaded("models: [{name: b.c, model: {experts: 5}}, {name: shop}]\n"));
  EXPECT_EQ(identity_difference(one, same), "");
  EXPECT_EQ(identity_difference(same, one), "");
  EXPECT_EQ(identity_difference(one, two), "");
  EXPECT_EQ(identity_difference(two, one), "");
  EXPECT_EQ(identity_difference(two, other),
            "models.b.c.model.experts: the store has 6, the configuration says 5\n");
  EXPECT_THAT(identity_models(two), ElementsAre("b.c", "shop"));
  EXPECT_THAT(identity_models(one), ElementsAre("shop"));
  const std::string renamed = config_identity(loaded("models: [{name: x}]\n"));
  EXPECT_EQ(identity_difference(one, renamed),
            "name: the store has shop, the configuration says x\n");
  const std::string part = config_identity(loaded("models: [{name: shop, tasks: [ctr, cvr]}]\n"));
  EXPECT_THAT(identity_difference(one, part), HasSubstr("tasks: the store has"));
  EXPECT_THAT(identity_difference(config_identity(loaded("")),
                                  config_identity(loaded("model: {experts: 9}\n"))),
              HasSubstr("model.experts: the store has 4, the configuration says 9"));
}

TEST(Models, EachIsExplained) {
  const std::string text = explain_config(loaded(kModels));
  for (const char* part : {"model wide", "7 experts",
                           "of the tasks ctr and the features item_id, "
                           "price",
                           "table item_id of ctr_only", "dense weights of cvr_only"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(Models, FiguresStandApartFromLongNames) {
  const std::string name = "a_model_with_a_long_name_that_somebody_gave_it";
  const std::string text =
      explain_config(loaded("models: [{name: " + name + ", model: {experts: 7}}, {name: b}]\n"));
  EXPECT_THAT(text, HasSubstr("dense weights of " + name + "   "));
  EXPECT_THAT(text, HasSubstr("table item_id of " + name + "   "));
}

}  // namespace
}  // namespace millrace
