// What is served from the first moment of a start on: every model by its name, the champion as the
// champion, and of models whose weights are held their last good ones.
#include "ops/engine/start_versions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ops/config/load.h"
#include "ops/engine/engine.h"
#include "tests/support/funnel_files.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr EventTime kNow{1'765'000'000'000};  // after all events
// The guardrails hold what the first step makes of it.
constexpr const char* kHeld = ", guardrails: {publish: {max_change: 1e-6, hold: 1000000}}";

// What requests are answered from, as long as a process lives.
struct Scorers {
  explicit Scorers(const Schema& schema) : serving(schema) {}
  ServingModel serving;
  ServedModels served{serving};

  std::string champion() const {
    return serving.has_version() ? serving.pin().shape()->model : "nobody";
  }
  // The dense weights that answer for a model; none where it is not served.
  std::vector<float> weights(const std::string& model) const {
    const auto found = served.find(model);
    if (found == nullptr || !found->has_version()) return {};
    EXPECT_EQ(found->pin().shape()->model, model);
    return found->pin().dense()->parameters;
  }
  std::string version(const std::string& model) const {
    return print_version(served.find(model)->pin().version());
  }
};

class StartVersionsTest : public ::testing::Test {
 protected:
  StartVersionsTest() { write_funnel(events_, 3'000, {.impressions_per_second = 0.5}); }

  // Models a, b, and one of a part of the tasks; `held` are those whose first step is one too far.
  EngineOptions options(const std::string& store, Scorers* scorers, const std::string& held,
                        const std::string& more = "") {
    const auto guarded = [&](const char* name) {
      return held.find(name) == std::string::npos ? "" : kHeld;
    };
    const auto loaded = load_config_text(
        funnel_shop(folder_ / store,
                    std::string("train: {batch: 16}\nserve: {publish_every: 20ms}\nmodels:\n") +
                        "  - {name: a" + guarded("a") + "}\n" +
                        "  - {name: b, model: {experts: 6}" + guarded("b") + "}\n" +
                        "  - {name: part, tasks: [ctr]}\n" + more),
        "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    EngineOptions options;
    options.config = loaded->config;
    options.files = {events_};
    options.clock = [] { return kNow; };
    options.log = [this](std::string_view, const std::string& message) {
      const std::lock_guard lock(mutex_);
      logs_.push_back(message);
    };
    options.live = true;
    options.serving = &scorers->serving;
    options.served = &scorers->served;
    options.commands = &commands_;
    return options;
  }
  Scorers scorers() {
    return Scorers(load_config_text(funnel_shop(folder_ / "any", ""), "f", {})->config.schema());
  }
  std::unique_ptr<Engine> start(EngineOptions options) {
    auto made = Engine::make(std::move(options));
    EXPECT_TRUE(made) << made.error().message;
    (*made)->open();
    return std::move(made).value();
  }
  // Takes so many steps, and commits.
  void learn(Engine& engine, std::uint64_t steps, const std::string& champion = "") {
    engine.connect();
    std::optional<CommandAnswer> answer;
    std::atomic<bool> done{champion.empty()};
    std::thread person([&] {
      if (champion.empty()) return;
      answer = commands_.run({.kind = TrainerCommand::Kind::kChampion, .model = champion},
                             Duration{20'000});
      done = true;
    });
    const std::uint64_t until = engine.trainer(0).steps + steps;
    engine.run([&] { return done && engine.trainer(0).steps >= until; }, {});
    person.join();
    if (answer) {
      EXPECT_EQ(answer->status, CommandAnswer::Status::kDone) << answer->message;
    }
    engine.finish();
  }
  // A store with a snapshot of all models, the champion being a.
  void make_store(const std::string& store) {
    Scorers here = scorers();
    const auto engine = start(options(store, &here, ""));
    learn(*engine, 20);
    engine->store().snapshot(kNow, 24);
  }

  const TempFolder folder_;
  const std::string events_ = folder_ / "events.jsonl";
  TrainerCommands commands_;
  std::mutex mutex_;
  std::vector<std::string> logs_;
};

TEST_F(StartVersionsTest, EveryModelAnswersByItsNameBeforeAnythingIsLearned) {
  Scorers fresh = scorers();
  {
    const auto engine = start(options("store", &fresh, ""));
    for (const char* name : {"a", "b", "part"}) EXPECT_FALSE(fresh.weights(name).empty()) << name;
    EXPECT_EQ(fresh.version("part"), print_version(fresh.serving.pin().version()));
    learn(*engine, 10, "b");
  }
  Scorers again = scorers(), third = scorers();
  start(options("store", &again, ""));
  const auto engine = start(options("store", &third, ""));
  EXPECT_EQ(again.champion(), "b");
  for (const char* name : {"a", "b", "part"}) {
    EXPECT_FALSE(again.weights(name).empty()) << name;
    EXPECT_EQ(again.weights(name), third.weights(name)) << name;
    EXPECT_EQ(third.version(name), std::to_string(engine->store().sequence()) + ".0") << name;
  }
  EXPECT_EQ(again.served.find("nobody"), nullptr);
}

TEST_F(StartVersionsTest, TheChampionAloneIsServedWhereNoOtherIsAskedFor) {
  Scorers here = scorers();
  EngineOptions of_one = options("store", &here, "");
  of_one.served = nullptr;
  const auto engine = start(std::move(of_one));
  EXPECT_EQ(here.champion(), "a");
  EXPECT_TRUE(here.weights("b").empty());
}

// As after a rollback, or a failure of learning, in one process: the store has another champion
// than what is served.
TEST_F(StartVersionsTest, AStoreWithAnotherChampionLeavesTheFormerOneItsName) {
  make_store("store");
  Scorers here = scorers();
  {
    const auto engine = start(options("other", &here, ""));
    learn(*engine, 10, "b");
  }
  ASSERT_EQ(here.champion(), "b");
  here.served.became_champion("b");  // as it is where no version of its own was left
  const auto engine = start(options("store", &here, ""));
  EXPECT_EQ(here.champion(), "a");
  for (const char* name : {"a", "b", "part"}) EXPECT_FALSE(here.weights(name).empty()) << name;
}

TEST_F(StartVersionsTest, AHeldChampionIsServedAsItWasWhenItWasGood) {
  make_store("store");
  Scorers good = scorers();
  std::vector<float> in_snapshot;
  {
    const auto engine = start(options("store", &good, ""));
    in_snapshot = good.weights("b");
    learn(*engine, 10, "b");
  }
  Scorers before = scorers();
  {
    const auto engine = start(options("store", &before, "b"));
    EXPECT_EQ(before.champion(), "b");
    learn(*engine, 10);
    EXPECT_TRUE(engine->holds());
  }
  // The same process starts learning again: what is served stays.
  const std::vector<float> last = before.weights("b");
  start(options("store", &before, "b"));
  EXPECT_EQ(before.champion(), "b");
  EXPECT_EQ(before.weights("b"), last);
  // Another process: the snapshot's champion was a, and yet it is b that is served.
  Scorers here = scorers();
  const auto engine = start(options("store", &here, "b"));
  EXPECT_EQ(engine->status().held_at_start, "unbounded");
  EXPECT_EQ(engine->reports()->champion().model, "b");
  EXPECT_EQ(here.champion(), "b");
  for (const char* name : {"a", "b", "part"}) EXPECT_FALSE(here.weights(name).empty()) << name;
  EXPECT_EQ(here.weights("b"), in_snapshot);
  EXPECT_THAT(logs_, Contains(HasSubstr("the weights of the champion b are not served (unbounded); "
                                        "those of the snapshot")));
}

TEST_F(StartVersionsTest, AHeldModelBesideTheChampionOutlastsARestart) {
  make_store("store");
  Scorers good = scorers(), before = scorers();
  start(options("store", &good, ""));
  learn(*start(options("store", &before, "b")), 10);
  ASSERT_FALSE(before.weights("b").empty());
  Scorers here = scorers();
  const auto engine = start(options("store", &here, "b"));
  EXPECT_EQ(here.champion(), "a");
  EXPECT_EQ(engine->status().held_at_start, "");
  EXPECT_EQ(here.weights("b"), good.weights("b"));
  EXPECT_THAT(logs_, Contains(HasSubstr("the weights of the model b are not served (unbounded); "
                                        "those of the snapshot")));
}

// Nobody took a snapshot: the daemon does, before what is held is committed, and once.
TEST_F(StartVersionsTest, TheLastGoodCommitBeforeAHoldIsKept) {
  Scorers before = scorers();
  learn(*start(options("store", &before, "")), 20);
  {
    const auto engine = start(options("store", &before, "a, b"));
    learn(*engine, 10);
    const auto snapshots = engine->store().snapshots();
    ASSERT_EQ(snapshots.size(), 1U);
    EXPECT_LT(snapshots[0].commit, engine->store().sequence());
  }
  Scorers here = scorers();
  const auto engine = start(options("store", &here, "a, b"));
  EXPECT_EQ(engine->status().held_at_start, "unbounded");
  EXPECT_EQ(here.champion(), "a");
  for (const char* name : {"a", "b", "part"}) EXPECT_FALSE(here.weights(name).empty()) << name;
}

// Held from its first step on, with no snapshot of better days.
TEST_F(StartVersionsTest, WithoutAnyGoodWeightsAnotherModelAnswersForTheChampion) {
  Scorers before = scorers();
  {
    EngineOptions early = options("store", &before, "a");
    early.config.store.snapshots.every = Duration{3'600'000};
    learn(*start(std::move(early)), 10);
  }
  std::filesystem::remove_all(folder_ / "store/snapshots");
  Scorers here = scorers();
  const auto engine = start(options("store", &here, "a"));
  EXPECT_EQ(engine->reports()->champion().model, "a");
  EXPECT_EQ(here.champion(), "b");
  EXPECT_TRUE(here.weights("a").empty());
  EXPECT_FALSE(here.weights("b").empty());
  EXPECT_THAT(logs_, Contains(HasSubstr("the model b answers in its place")));
}

}  // namespace
}  // namespace millrace
