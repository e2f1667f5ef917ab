#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::faults {

/// What happens at the passings `first` to `last` (from 1) of one place.
struct Fault {
  std::string place;   ///< A failpoint's name, or an operation on files.
  std::string within;  ///< Of operations on files: what the path must contain; empty: any.
  std::string what;    ///< "kill", "fail", "sleep", "EIO", …
  std::int64_t milliseconds = 0;  ///< Of "sleep".
  std::uint64_t first = 1, last = 1;
  std::uint64_t passed = 0;
};

/// Reads `place=what@which` entries, separated by `;`. `which` is `3` (the third passing), `3+`
/// (from then on), `3-7`, or left out: the first. `place` may end in `:part of the path`; `what`
/// may be `sleep(250)`. Ends the process with a message where the text is not of this form: a fault
/// that does not happen would make a test pass for nothing.
std::vector<Fault> parse_plan(std::string_view text);

/// Counts a passing; returns the fault that happens at it, or null.
const Fault* pass(std::vector<Fault>& plan, std::string_view place, std::string_view path = {});

}  // namespace millrace::faults
