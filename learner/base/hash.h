#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

/// Our 64-bit hash of bytes, the same on every machine and for ever: feature keys, digests and
/// manifests rely on it. Not for secrets. Different seeds give independent functions.
std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed = 0);

/// A bijection of 64 bits that changes half of the output's bits for one of the input's.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  x ^= x >> 32;
  return x;
}

}  // namespace millrace
