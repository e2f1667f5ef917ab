#pragma once

#include <cstdint>

namespace millrace {

/// How a label that is trained came about (algorithms 2.14): what it weighs, and whether it is
/// measured where it is trained.
enum class Origin : std::uint8_t {
  kFinal,  ///< Decided, and trained once: weighs 1, and is measured by the same pass.
  kFirst,  ///< As it stood at first: at once (fnw, fnc), at the short wait (the others).
  kLater,  ///< A 1 that came after the first row, or (fnw, fnc) beside it.
  kAgain,  ///< defer: the final label, where it is what it was in the first row; dfm: still a 0.
  kTwice,  ///< defer: decided before the short wait; stands for both rows at once.
};

/// What an auxiliary head learns from a row, as bits.
namespace target {
/// Whether the final label is 1 and was not seen at the short wait (f_dp): is it known, is it so.
inline constexpr std::uint8_t kDelayedKnown = 1, kDelayed = 2;
/// Whether what was 0 at the short wait stays 0 (f_rn): is it known, is it so.
inline constexpr std::uint8_t kNeverKnown = 4, kNever = 8;
}  // namespace target

}  // namespace millrace
