// What the command line answers: the exit codes that scripts rely on, and words that help.
#include "ops/commands/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace millrace {
namespace {

using ::testing::HasSubstr;

struct CommandLineTest : ::testing::Test {
  struct Arguments {
    std::string store;
    std::vector<std::string> events;
    std::int64_t seed = 7;
    std::optional<std::int64_t> seconds;
    double rate = 1;
    bool json = false;
  } got;
  std::string errors, output;

  int run(std::vector<std::string> words) {
    got = {};
    Command program("millrace", "A program.");
    Command& inspect = program.add_command("inspect", "Looks.");
    inspect.add_option("--store", got.store, "Where.", Command::kRequired);
    inspect.add_option("--events", got.events, "What.");
    inspect.add_option("--seed", got.seed, "Which.", 0);
    inspect.add_option("--seconds", got.seconds, "How long.", 1);
    inspect.add_option("--rate", got.rate, "How fast.", 0.5);
    inspect.add_flag("--json", got.json, "As JSON.");
    inspect.run([this] {
      if (got.store == "broken") throw std::runtime_error("the disk is full; make room");
      return kExitDone;
    });
    Command& simulate = program.add_command("simulate", "Makes.");
    simulate.add_command("funnel", "Users.").run([] { return kExitBadConfig; });
    simulate.refuse_command("mmoe");
    program.refuse_command("compare");

    words.insert(words.begin(), "millrace");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = program.main(static_cast<int>(argv.size()), argv.data(), "millrace 1.2.3");
    output = ::testing::internal::GetCapturedStdout();
    errors = ::testing::internal::GetCapturedStderr();
    return code;
  }
};

TEST_F(CommandLineTest, OptionsReachTheirTargets) {
  EXPECT_EQ(run({"inspect", "--store", "d", "--events", "a", "--events", "b", "--json", "--seed",
                 "12", "--seconds=3", "--rate", "0.75"}),
            kExitDone);
  EXPECT_EQ(got.store, "d");
  EXPECT_EQ(got.events, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(got.seed, 12);
  EXPECT_EQ(got.seconds, 3);
  EXPECT_EQ(got.rate, 0.75);
  EXPECT_TRUE(got.json);
  EXPECT_EQ(run({"inspect", "--store", "d"}), kExitDone);
  EXPECT_EQ(got.seed, 7);
  EXPECT_FALSE(got.seconds.has_value());
}

TEST_F(CommandLineTest, WrongUsageIsTwo) {
  EXPECT_EQ(run({}), kExitUsage);
  EXPECT_EQ(run({"inspect"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("--store"));
  EXPECT_EQ(run({"inspect", "--store", "d", "--what"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("--what"));
  EXPECT_EQ(run({"inspect", "--store", "d", "--seed", "-1"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("-1 is not a whole number of at least 0"));
  EXPECT_EQ(run({"inspect", "--store", "d", "--seed", "1.5"}), kExitUsage);
  EXPECT_EQ(run({"inspect", "--store", "d", "--seconds", "0"}), kExitUsage);
  EXPECT_EQ(run({"inspect", "--store", "d", "--rate", "nan"}), kExitUsage);
  EXPECT_EQ(run({"inspect", "--store", "d", "--rate", "fast"}), kExitUsage);
  EXPECT_EQ(run({"simulate"}), kExitUsage);
}

TEST_F(CommandLineTest, UnknownCommandsAreNamed) {
  EXPECT_EQ(run({"inspct"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("inspct is no command of millrace; did you mean inspect?"));
  EXPECT_EQ(run({"simulate", "users", "--x"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("users is no command of simulate; expected funnel"));
}

TEST_F(CommandLineTest, WhatIsNotBuiltIsRefusedByNameAndNotListed) {
  EXPECT_EQ(run({"compare", "--config", "x", "--models", "a,b"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("`compare` is not built yet"));
  EXPECT_EQ(run({"simulate", "mmoe", "--rows", "3"}), kExitUsage);
  EXPECT_THAT(errors, HasSubstr("`simulate mmoe` is not built yet"));
  EXPECT_EQ(run({"--help"}), kExitDone);
  EXPECT_EQ(output.find("compare"), std::string::npos);
  EXPECT_THAT(output, HasSubstr("inspect"));
}

TEST_F(CommandLineTest, HelpAndVersionAreDone) {
  EXPECT_EQ(run({"--version"}), kExitDone);
  EXPECT_EQ(output, "millrace 1.2.3\n");
  EXPECT_EQ(run({"inspect", "--help"}), kExitDone);
  EXPECT_THAT(output, HasSubstr("--store"));
}

TEST_F(CommandLineTest, TheActionsAnswerIsTheExitCodeAndAnExceptionIsOne) {
  EXPECT_EQ(run({"simulate", "funnel"}), kExitBadConfig);
  EXPECT_EQ(run({"inspect", "--store", "broken"}), kExitFailed);
  EXPECT_THAT(errors, HasSubstr("millrace inspect: the disk is full; make room"));
}

}  // namespace
}  // namespace millrace
