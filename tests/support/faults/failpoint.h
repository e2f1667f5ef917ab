#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::faults {

/// Replaces the plan of the failpoints (from the environment's FAULT_POINTS at first) for a
/// test in one process; empty: nothing happens. Threads: any.
void set_failpoints(const std::string& plan);

/// How often a place was passed since then.
std::uint64_t passings(std::string_view place);

}  // namespace millrace::faults
