// Several models on one stream, through the whole path: each is what it would be alone, whatever is
// killed in between; models come and go; the champion changes while scores are asked for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "learner/publish/scorer.h"
#include "ops/config/load.h"
#include "ops/engine/engine.h"
#include "ops/report.h"
#include "tests/support/funnel_files.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr EventTime kNow{1'765'000'000'000};  // after all events
constexpr const char* kThree =
    "train: {batch: 64, threads: 2}\n"
    "models:\n"
    "  - {name: shop}\n"
    "  - {name: wide, model: {experts: 6}, train: {seed: 4}}\n"
    "  - {name: blind, features: [price], tasks: [ctr, dwell]}\n";

struct Told {
  std::vector<std::string> logs;
  TrainerReports reports;
  std::uint64_t digest = 0;
  std::map<std::string, std::string> weights;  // by model
};

class ModelsTest : public ::testing::Test {
 protected:
  ModelsTest() : lines_(write_funnel(events_, 3'000, {.impressions_per_second = 0.5})) {}

  EngineOptions options(const std::string& store, const std::string& more, Told& run) const {
    const auto loaded = load_config_text(funnel_shop(folder_ / store, more), "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    EngineOptions options;
    options.config = loaded->config;
    options.files = {events_};
    options.flush = true;
    options.clock = [] { return kNow; };
    options.log = [&run](std::string_view, const std::string& message) {
      run.logs.push_back(message);
    };
    return options;
  }

  // A replay that is stopped once so many events were taken, or at the end.
  Told replay(const std::string& store, const std::string& more, std::uint64_t events = ~0ULL) {
    Told run;
    auto made = Engine::make(options(store, more, run));
    EXPECT_TRUE(made) << made.error().message;
    Engine& engine = **made;
    engine.open();
    engine.connect();
    engine.run([&] { return engine.pipeline().events >= events; }, {});
    engine.finish();
    run.reports = *engine.reports();
    run.digest = engine.store().digest();
    for (const TrainerReport& report : run.reports.models) {
      run.weights[report.model] = *engine.store().value("model/" + report.model, "dense");
    }
    return run;
  }

  const TempFolder folder_;
  const std::string events_ = folder_ / "events.jsonl";
  const std::uint64_t lines_;
};

TEST_F(ModelsTest, EachIsWhatItWouldBeAlone) {
  const Told together = replay("together", kThree);
  ASSERT_EQ(together.reports.models.size(), 3U);
  const std::string alone[] = {"",
                               "model: {experts: 6}\ntrain: {batch: 64, seed: 4}\n"
                               "models: [{name: wide}]\n",
                               "train: {batch: 64}\nmodels: [{name: blind, features: [price], "
                               "tasks: [ctr, dwell]}]\n"};
  for (std::size_t m = 0; m < 3; ++m) {
    const std::string& name = together.reports.models[m].model;
    const Told one =
        replay("alone" + std::to_string(m), m == 0 ? "train: {batch: 64}\n" : alone[m]);
    EXPECT_EQ(one.weights.at(name), together.weights.at(name)) << name;
    const TaskReport& a = one.reports.models[0].tasks[0];
    const TaskReport& b = together.reports.models[m].tasks[0];
    EXPECT_GT(a.all.rows, 1'000U);
    EXPECT_EQ(a.all.auc, b.all.auc);
    EXPECT_EQ(a.all.log_loss, b.all.log_loss);
    EXPECT_EQ(one.reports.models[0].rows, together.reports.models[m].rows);
  }
  EXPECT_NE(together.weights.at("shop"), together.weights.at("wide"));
}

TEST_F(ModelsTest, StoppedAndContinuedIsAsUndisturbed) {
  const std::string more = std::string(kThree) + "twins: {tasks: [ctr], block: 50, blocks: 20}\n";
  const Told whole = replay("whole", more);
  for (const std::uint64_t at : {500U, 1'700U, 2'500U}) replay("parts", more, at);
  const Told parts = replay("parts", more);
  EXPECT_EQ(parts.digest, whole.digest);
  EXPECT_EQ(parts.weights, whole.weights);
  ASSERT_EQ(whole.reports.twins.size(), 1U);
  EXPECT_GT(whole.reports.twins[0].blocks, 10);
  EXPECT_EQ(parts.reports.twins.at(0).difference, whole.reports.twins[0].difference);
}

TEST_F(ModelsTest, OneThatComesBeginsAnewAndOneThatGoesLeavesNothing) {
  const std::string one = "train: {batch: 64}\n";
  const std::string two = one + "models: [{name: shop}, {name: late, model: {experts: 3}}]\n";
  replay("store", one, 1'000);
  const Told with = replay("store", two, 2'000);
  EXPECT_THAT(with.logs, Contains(HasSubstr("model late is new to the store and begins anew")));
  EXPECT_LT(with.reports.models[1].rows, with.reports.models[0].rows);
  EXPECT_GT(with.reports.models[1].rows, 100U);
  const Told without = replay("store", one);
  EXPECT_THAT(without.logs, Contains(HasSubstr("model late is not in the configuration any more")));
  EXPECT_EQ(without.digest, replay("undisturbed", one).digest);
  const Told again = replay("store", two);
  EXPECT_THAT(again.logs, Contains(HasSubstr("model late is new")));
  EXPECT_EQ(again.reports.models[1].rows, 0U);
  Told refused;
  auto other = Engine::make(options("store", one + "models: [{name: x}]\n", refused));
  ASSERT_TRUE(other);
  EXPECT_THROW((*other)->open(), IdentityError);
}

TEST_F(ModelsTest, TheReportHasEveryModel) {
  Told run;
  auto made = Engine::make(options("report", kThree, run));
  ASSERT_TRUE(made) << made.error().message;
  (*made)->open();
  (*made)->connect();
  (*made)->run([] { return false; }, {});
  (*made)->finish();
  const CommittedCounts counts = (*made)->status().committed;
  const std::string report = replay_report({.counts = counts,
                                            .trainers = *(*made)->reports(),
                                            .stages = (*made)->stages(),
                                            .seconds = 1,
                                            .digest = 0});
  EXPECT_THAT(report, HasSubstr("\"models\":{\"shop\":{\"champion\":true"));
  EXPECT_THAT(report, HasSubstr("\"blind\":{\"champion\":false"));
}

// Asks for scores all the time, and notes whose they were under which number.
class Asker {
 public:
  Asker(const Config& config, const ServingModel& serving)
      : schema_(config.schema()), serving_(serving), scorer_(schema_, config.learner.model) {
    thread_ = std::thread([this] { work(); });
  }
  ~Asker() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::map<VersionNumber, std::set<std::string>> versions;
  std::set<std::string> models() const {
    std::set<std::string> all;
    for (const auto& [version, names] : versions) all.insert(names.begin(), names.end());
    return all;
  }
  std::uint64_t asked = 0;
  VersionNumber last{};
  bool went_back = false;

 private:
  void work() {
    Batch row = empty_batch(schema_, Stream::kAtOnce);
    row.rows = 1;
    for (KeyColumn& column : row.columns) column.keys = {7};
    row.numeric = {1};
    Scores scores;
    while (!stop_) {
      if (!serving_.has_version()) continue;
      scorer_.score(serving_, row, row, scores);
      versions[scores.version].insert(scores.model);
      went_back |= scores.version < last;
      last = scores.version;
      ++asked;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  const Schema schema_;
  const ServingModel& serving_;
  Scorer scorer_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Asks for models by their names all the time: who was once there stays.
class Finder {
 public:
  Finder(const ServedModels& served, std::set<std::string> names)
      : served_(served), names_(std::move(names)), thread_([this] { work(); }) {}
  ~Finder() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::set<std::string> found, gone;

 private:
  void work() {
    while (!stop_) {
      for (const std::string& name : names_) {
        const auto model = served_.find(name);
        if (model != nullptr && model->has_version()) {
          found.insert(name);
        } else if (found.contains(name)) {
          gone.insert(name);
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  const ServedModels& served_;
  const std::set<std::string> names_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_F(ModelsTest, TheChampionChangesWithoutAGapAndStaysAcrossRestarts) {
  Told run;
  std::mutex logs;
  EngineOptions live =
      options("live",
              "train: {batch: 64}\nserve: {publish_every: 20ms}\n"
              "models: [{name: a}, {name: b, model: {experts: 6}, features: [item_id, price]}, "
              "{name: part, tasks: [ctr]}]\n",
              run);
  live.log = [&](std::string_view, const std::string& message) {
    const std::lock_guard lock(logs);
    run.logs.push_back(message);
  };
  const Schema schema = live.config.schema();
  ServingModel serving(schema);
  ServedModels served(serving);
  TrainerCommands commands;
  live.live = true;
  live.flush = false;
  live.serving = &serving;
  live.served = &served;
  live.commands = &commands;
  const auto start = [&] {
    auto made = Engine::make(live);
    EXPECT_TRUE(made) << made.error().message;
    (*made)->open();
    (*made)->connect();
    return std::move(made).value();
  };
  const auto change = [&](const std::string& name) {
    return commands.run({.kind = TrainerCommand::Kind::kChampion, .model = name}, Duration{20'000});
  };
  Asker asker(live.config, serving);
  Finder finder(served, {"a", "b", "part", "nobody"});
  {
    const auto engine = start();
    std::atomic<bool> done{false};
    std::thread person([&] {
      for (const char* name : {"b", "a", "b"}) {
        EXPECT_EQ(change(name).status, CommandAnswer::Status::kDone) << name;
        std::this_thread::sleep_for(std::chrono::milliseconds(150));
      }
      EXPECT_EQ(change("part").status, CommandAnswer::Status::kRefused);
      EXPECT_EQ(change("nobody").status, CommandAnswer::Status::kRefused);
      done = true;
    });
    engine->run([&] { return done.load() && engine->pipeline().events == lines_; }, {});
    person.join();
    EXPECT_EQ(engine->reports()->champion().model, "b");
  }  // It is not finished: what was answered is committed all the same.
  asker.stop();
  finder.stop();
  EXPECT_EQ(finder.found, (std::set<std::string>{"a", "b", "part"}));
  EXPECT_TRUE(finder.gone.empty());
  EXPECT_EQ(asker.models(), (std::set<std::string>{"a", "b"}));
  EXPECT_GT(asker.asked, 100U);
  EXPECT_FALSE(asker.went_back);
  for (const auto& [version, names] : asker.versions) {
    EXPECT_EQ(names.size(), 1U) << print_version(version);
  }
  Asker again(live.config, serving);
  const auto engine = start();
  EXPECT_EQ(engine->reports()->champion().model, "b");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  again.stop();
  EXPECT_GT(again.last.commit, asker.last.commit);
  EXPECT_EQ(again.models(), std::set<std::string>{"b"});
}

}  // namespace
}  // namespace millrace
