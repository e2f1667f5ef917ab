// The decoder under libFuzzer: any bytes, the properties of tests/support/decode_check.h.
#include <cstddef>
#include <cstdint>

#include "tests/support/decode_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::DecodeCheck check;
  check({reinterpret_cast<const char*>(data), size});
  return 0;
}
