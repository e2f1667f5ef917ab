#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "learner/base/result.h"

namespace millrace {

/// Why the join did not say what became of an impression.
struct JoinSilence {
  enum class Why : std::uint8_t {
    kRefused,   ///< Too many questions wait already.
    kTimedOut,  ///< It was busy for too long.
    kFailed,    ///< Nothing is joined just now, or the store could not be read.
  };
  Why why = Why::kFailed;
  std::string message;
};

/// What is known of an impression; nothing where that is nothing.
template <class Known>
using JoinAnswer = Result<std::optional<Known>, JoinSilence>;

}  // namespace millrace
