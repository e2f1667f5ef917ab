#pragma once

#include <array>
#include <optional>

#include "learner/base/fields.h"

namespace millrace {

/// How several outcomes of one impression make one label: the last by (time, value), the sum added
/// in that order in double, the largest value, or how many there are. Only `count` takes
/// outcomes without a value. A binary task ignores this: its label is 1 if there is any.
enum class Aggregate { kLast, kSum, kMax, kCount };
template <>
struct Choices<Aggregate> {
  static constexpr std::array<Choice<Aggregate>, 4> all{{{"last", Aggregate::kLast},
                                                         {"sum", Aggregate::kSum},
                                                         {"max", Aggregate::kMax},
                                                         {"count", Aggregate::kCount}}};
};

/// Where a task's label comes from; parallel to Schema::tasks.
struct LabelSource {
  int outcome = -1;  ///< Index into EventTypes::outcomes; −1: only samples carry it.
  Aggregate aggregate = Aggregate::kLast;
  std::optional<double> absent;  ///< The label where no outcome was applied; missing if not given.
};

}  // namespace millrace
