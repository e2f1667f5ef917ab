#include "learner/base/normal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "learner/base/random.h"

namespace millrace {
namespace {

// Four doubles, or the bits of four, by the compiler's extension: the operators are element-wise.
typedef double Four __attribute__((vector_size(32)));
typedef std::uint64_t FourBits __attribute__((vector_size(32)));

// Numbers that are made together.
constexpr std::size_t kTogether = 16;

// x + 2^52 is exact for whole x below 2^52, and its low bits are x.
constexpr double kWhole = 0x1p52;
constexpr auto kWholeBits = std::bit_cast<std::uint64_t>(kWhole);

/// log u for a normal u in (0, 1), to 1e-14. u = m 2^e with √½ ≤ m < √2;
/// log m = 2 artanh((m − 1) / (m + 1)), by its series.
inline Four log_unit(Four u) {
  constexpr std::uint64_t kRootHalf = 0x3fe6a09e667f3bcdULL, kBias = std::uint64_t{1023} << 52;
  const auto bits = std::bit_cast<FourBits>(u);
  const FourBits shifted = bits - kRootHalf + kBias;
  const Four e = std::bit_cast<Four>((shifted >> 52) | kWholeBits) - (kWhole + 1023);
  const auto m = std::bit_cast<Four>(bits - (shifted & 0xfff0000000000000ULL) + kBias);
  const Four s = (m - 1) / (m + 1), z = s * s;
  Four sum = z * (1.0 / 17);
  for (const double next : {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3}) {
    sum = (sum + next) * z;
  }
  return e * std::numbers::ln2 + 2 * s * (sum + 1);
}

/// cos and sin of 2π t for t in (0, 1): of the rest to the nearest quarter, by Taylor's series.
inline void cos_sin(Four t, Four& cosine, Four& sine) {
  const Four quarter = (4 * t + kWhole) - kWhole;  // to the nearest
  const Four x = 2 * std::numbers::pi * (t - quarter * 0.25), z = x * x;
  Four s = z * (1.0 / 6227020800), c = z * (-1.0 / 87178291200);
  for (const double next : {-1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6}) {
    s = (s + next) * z;
  }
  for (const double next :
       {1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -0.5}) {
    c = (c + next) * z;
  }
  s = (s + 1) * x;
  c = c + 1;
  // Quarters 0 to 4: (c, s), (−s, c), (−c, −s), (s, −c), and the first again.
  const auto odd = quarter == 1 || quarter == 3;
  const auto negative = quarter == 2 || quarter == 3;
  const Four a = odd ? -s : c, b = odd ? c : s;
  cosine = negative ? -a : a;
  sine = negative ? -b : b;
}

}  // namespace

void fill_normal(std::uint64_t seed, std::uint64_t counter, double deviation,
                 std::span<float> values) {
  constexpr std::size_t kPairs = kTogether / 2;
  std::array<double, kPairs> radii, turns, cosines, sines;
  for (std::size_t first = 0; first < values.size(); first += kTogether) {
    for (std::size_t p = 0; p < kPairs; p += 2) {
      const auto bits = philox(seed, first / 4 + p / 2, counter);
      radii[p] = to_unit(bits[0]);
      turns[p] = to_unit(bits[1]);
      radii[p + 1] = to_unit(bits[2]);
      turns[p + 1] = to_unit(bits[3]);
    }
    for (std::size_t p = 0; p < kPairs; p += 4) {
      Four u, t, cosine, sine;
      std::memcpy(&u, &radii[p], sizeof u);
      std::memcpy(&t, &turns[p], sizeof t);
      cos_sin(t, cosine, sine);
      const Four square = -2 * log_unit(u);
      Four radius;
      for (int i = 0; i < 4; ++i) radius[i] = std::sqrt(square[i]);
      radius *= deviation;
      cosine *= radius;
      sine *= radius;
      std::memcpy(&cosines[p], &cosine, sizeof cosine);
      std::memcpy(&sines[p], &sine, sizeof sine);
    }
    const std::size_t count = std::min(values.size() - first, kTogether);
    for (std::size_t i = 0; i < count; ++i) {
      values[first + i] = static_cast<float>(i % 2 == 0 ? cosines[i / 2] : sines[i / 2]);
    }
  }
}

}  // namespace millrace
