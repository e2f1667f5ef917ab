// Faults happen at the passings that were asked for, and a plan that cannot be read stops the
// program: a fault that never happens would let a test pass for nothing.
#include "tests/support/faults/plan.h"

#include <gtest/gtest.h>

#include <csignal>
#include <stdexcept>

#include "learner/base/failpoint.h"
#include "tests/support/faults/failpoint.h"

namespace millrace {
namespace {

std::string happenings(const std::string& text, const std::string& place,
                       const std::string& path = "") {
  auto plan = faults::parse_plan(text);
  std::string at;
  for (int passing = 1; passing <= 9; ++passing) {
    if (faults::pass(plan, place, path) != nullptr) at += std::to_string(passing);
  }
  return at;
}

TEST(FaultPlan, HappensAtTheNamedPassingsOnly) {
  EXPECT_EQ(happenings("a=kill", "a"), "1");
  EXPECT_EQ(happenings("a=kill@3", "a"), "3");
  EXPECT_EQ(happenings("a=kill@7+", "a"), "789");
  EXPECT_EQ(happenings("b=fail;a=kill@2-4;a=fail@9", "a"), "2349");
  EXPECT_EQ(happenings("a=kill", "ab"), "");
  EXPECT_EQ(happenings("write:.log=EIO@1+", "write", "/x/7.sst"), "");
  EXPECT_EQ(happenings("write:.log=EIO@8+", "write", "/x/7.log"), "89");
  EXPECT_EQ(faults::parse_plan("a=sleep(250)@2").at(0).milliseconds, 250);
}

TEST(FaultPlan, WhatCannotBeReadEndsTheProgram) {
  for (const char* text : {"a", "=kill", "a=kill@", "a=kill@0", "a=kill@5-3", "a=sleep(x)"}) {
    EXPECT_EXIT(faults::parse_plan(text), ::testing::ExitedWithCode(2), "not a fault") << text;
  }
}

TEST(Failpoint, FailsWhereItIsAskedTo) {
  faults::set_failpoints("here=fail@2");
  EXPECT_NO_THROW(pass_failpoint("here"));
  EXPECT_THROW(pass_failpoint("here"), std::runtime_error);
  EXPECT_NO_THROW(pass_failpoint("here"));
  EXPECT_EQ(faults::passings("here"), 3u);
  faults::set_failpoints("here=kill");
  EXPECT_EXIT(pass_failpoint("here"), ::testing::KilledBySignal(SIGKILL), "");
  faults::set_failpoints("");
}

}  // namespace
}  // namespace millrace
