// Many normal numbers at once are those that are made one by one.
#include "learner/base/normal.h"

#include <gtest/gtest.h>

#include <vector>

#include "learner/base/random.h"

namespace millrace {
namespace {

TEST(FillNormal, IsThePlainFormula) {
  for (const std::size_t count : {1U, 3U, 16U, 17U, 50U}) {
    std::vector<float> values(count);
    for (std::uint64_t counter = 0; counter < 3000; ++counter) {
      fill_normal(7, counter * 0x9e3779b97f4a7c15ULL, 0.5, values);
      for (std::size_t i = 0; i < count; ++i) {
        const auto bits = philox(7, i / 4, counter * 0x9e3779b97f4a7c15ULL);
        const std::size_t pair = i % 4 / 2 * 2;
        const double plain = 0.5 * to_normal(bits[pair], bits[pair + 1])[i % 2];
        ASSERT_NEAR(values[i], plain, 6e-8 * std::max(1e-3, std::abs(plain)));
      }
    }
  }
}

}  // namespace
}  // namespace millrace
