#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "learner/base/random.h"

namespace millrace {

/// Tests of faults have a short form, which every run of the tests takes, and a long one, which
/// `make faults` takes (MILLRACE_FAULTS=long).
inline bool is_long_form() {
  const char* form = std::getenv("MILLRACE_FAULTS");
  return form != nullptr && std::string(form) == "long";
}

template <class T>
T by_form(T in_short, T in_long) {
  return is_long_form() ? in_long : in_short;
}

/// A figure of the report that `make faults` ends with.
template <class Value>
void report_figure(const std::string& name, const Value& value) {
  ::testing::Test::RecordProperty(name, std::to_string(value));
}

/// Uniform in [0, 1), from a fixed seed.
class FaultDice {
 public:
  explicit FaultDice(std::uint64_t seed) : seed_(seed) {}
  double unit() { return to_unit(philox(seed_, 11, count_++)[0]); }

 private:
  const std::uint64_t seed_;
  std::uint64_t count_ = 0;
};

}  // namespace millrace
