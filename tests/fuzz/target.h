#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// What every <thing>_fuzz.cc defines, as libFuzzer wants it: takes any bytes, returns 0, and ends
// the process where a property is broken.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace millrace {

/// How many inputs were taken and how many refused: inputs that are all refused test little, and
/// driver.cc says so.
struct FuzzCounts {
  std::uint64_t taken = 0, refused = 0;
  void add(bool is_taken) { ++(is_taken ? taken : refused); }
};
inline FuzzCounts fuzz_counts;

inline std::string_view fuzz_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace millrace
