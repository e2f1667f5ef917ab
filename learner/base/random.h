#pragma once

#include <array>
#include <cstdint>

#include "learner/base/host_device.h"

namespace millrace {

/// Philox-4x32-10 (Salmon et al. 2011): random numbers as a pure function of a seed and a counter,
/// so that there is no generator state to save and the order of drawing changes nothing.
/// Returns 4 independent 32-bit numbers.
MILLRACE_HD inline std::array<std::uint32_t, 4> philox(std::uint64_t seed, std::uint64_t stream,
                                                       std::uint64_t counter) {
  std::array<std::uint32_t, 4> c{
      static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
      static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)};
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

/// Uniform in (0, 1): never 0, so that its logarithm is finite.
MILLRACE_HD inline double to_unit(std::uint32_t bits) { return (bits + 0.5) * 0x1p-32; }

/// Two independent standard normal numbers out of two uniform ones (Box and Muller 1958).
std::array<double, 2> to_normal(std::uint32_t a, std::uint32_t b);

}  // namespace millrace
