// Commands reach a trainer exactly once, and whoever waits always gets an answer: also where no
// trainer is, one goes, or one never looks.
#include "learner/train/commands.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace millrace {
namespace {

using Status = CommandAnswer::Status;

TEST(TrainerCommands, AreAnsweredAtOnceWhereNobodyTakesThem) {
  TrainerCommands commands;
  EXPECT_EQ(commands.run({}, Duration{10'000}).status, Status::kUnavailable);
  commands.open();
  commands.close("the disk is full");
  const CommandAnswer answer = commands.run({}, Duration{10'000});
  EXPECT_EQ(answer.status, Status::kUnavailable);
  EXPECT_EQ(answer.message, "the disk is full");
}

TEST(TrainerCommands, AreCarriedOutOnceEach) {
  TrainerCommands commands;
  commands.open();
  std::atomic<int> done{0};
  std::atomic<bool> stop{false};
  std::size_t worked = 0;
  std::thread trainer([&] {
    while (!stop) {
      worked += commands.work_off([&](const TrainerCommand& command) {
        return CommandAnswer{Status::kDone, command.task};
      });
      commands.committed(commands.carried_out());
    }
  });
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&, i] {
      const auto answer = commands.run({.task = std::to_string(i), .reason = {}}, Duration{10'000});
      if (answer.status == Status::kDone && answer.message == std::to_string(i)) ++done;
    });
  }
  for (std::thread& asker : askers) asker.join();
  stop = true;
  trainer.join();
  EXPECT_EQ(done, 8);
  EXPECT_EQ(worked, 8U);
}

// Carries out one command, calls `end` and returns its answer. Where the machine was so busy that
// it was not taken in time, another is given.
template <class End>
CommandAnswer answer_after(TrainerCommands& commands, Duration timeout, const End& end) {
  for (bool taken = false; !taken;) {
    CommandAnswer answer;
    std::atomic<bool> answered{false};
    std::thread asker([&] {
      answer = commands.run({.task = "ctr", .reason = {}}, timeout);
      answered = true;
    });
    while (!taken && !answered) {
      taken = commands.work_off([](const TrainerCommand& command) {
        return CommandAnswer{Status::kDone, command.task + " is frozen"};
      }) != 0;
    }
    if (taken) end();
    asker.join();
    if (taken) return answer;
  }
  return {};
}

TEST(TrainerCommands, AreAnsweredWhenACommitHoldsThem) {
  TrainerCommands commands;
  commands.open();
  std::atomic<bool> committed{false};
  const CommandAnswer answer = answer_after(commands, Duration{60'000}, [&] {
    commands.committed(commands.carried_out() - 1);  // one that began before
    committed = true;
    commands.committed(commands.carried_out());
  });
  EXPECT_TRUE(committed);
  EXPECT_EQ(answer.status, Status::kDone);
  EXPECT_EQ(answer.message, "ctr is frozen");
}

TEST(TrainerCommands, OneThatNoCommitHoldsIsNotSaidToBeDone) {
  TrainerCommands commands;
  commands.open();
  CommandAnswer answer = answer_after(commands, Duration{50}, [] {});
  EXPECT_EQ(answer.status, Status::kUnavailable);
  EXPECT_EQ(answer.message, "ctr is frozen, but no commit holds it yet: a restart may undo it");
  answer = answer_after(commands, Duration{60'000}, [&] { commands.close("the disk is full"); });
  EXPECT_EQ(answer.status, Status::kUnavailable);
  EXPECT_EQ(answer.message, "the disk is full");
}

TEST(TrainerCommands, OneThatTimedOutIsNeverCarriedOut) {
  TrainerCommands commands;
  commands.open();
  EXPECT_EQ(commands.run({}, Duration{5}).status, Status::kUnavailable);
  EXPECT_EQ(commands.work_off([](const TrainerCommand&) { return CommandAnswer{}; }), 0U);
}

TEST(TrainerCommands, ThoseThatWaitHearThatTheTrainerWent) {
  TrainerCommands commands;
  commands.open();
  CommandAnswer answer;
  std::thread asker([&] { answer = commands.run({}, Duration{60'000}); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // either way it is answered
  commands.close("gone");
  asker.join();
  EXPECT_EQ(answer.status, Status::kUnavailable);
  EXPECT_EQ(answer.message, "gone");
}

}  // namespace
}  // namespace millrace
