#pragma once

#include <cstdint>
#include <span>

namespace millrace {

/// values[i] = deviation times a normal number of (seed, counter, i): those that `to_normal` makes
/// of philox(seed, i / 4, counter), but for the last bits of a double, several at a time.
/// Pure: the same on every machine with the same instructions. Cost: some 10 ns a number.
void fill_normal(std::uint64_t seed, std::uint64_t counter, double deviation,
                 std::span<float> values);

}  // namespace millrace
