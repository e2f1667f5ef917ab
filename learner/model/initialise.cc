#include "learner/model/initialise.h"

#include <cmath>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr double kActivationGain = 2;

/// Where a value comes from: that of an element drawn, or the same with the other sign.
struct Origin {
  int place;
  bool negated;
};

// Of `count` places in `parts` equal parts, whose second halves are the first ones' partners.
Origin partner(int place, int count, int parts) {
  if (parts == 0) return {place, false};
  const int size = count / parts, half = size / 2, at = place % size;
  const bool second = half <= at && at < 2 * half;
  return {second ? place - half : place, second};
}

template <class T>
void initialise_slot(const ParameterSlot& slot, std::uint64_t seed, T* values) {
  const std::uint64_t stream = hash_bytes(slot.name);
  const double deviation = std::sqrt(slot.gain / slot.rows);
  const bool in_pairs = slot.gain == kActivationGain && !slot.alone;
  for (int r = 0; r < slot.rows; ++r) {
    const Origin row = partner(r, slot.rows, slot.input_parts);
    for (int c = 0; c < slot.cols; ++c) {
      T& value = values[r * slot.stride + c];
      if (deviation == 0) {
        value = static_cast<T>(slot.start);
        continue;
      }
      const Origin column = partner(c, slot.cols, in_pairs ? 1 : 0);
      const auto element =
          static_cast<std::uint64_t>(row.place) * static_cast<std::uint64_t>(slot.cols) +
          static_cast<std::uint64_t>(column.place);
      const auto bits = philox(seed, stream, element / 2);
      const double drawn = deviation * to_normal(bits[0], bits[1])[element % 2];
      value = static_cast<T>(row.negated != column.negated ? -drawn : drawn);
    }
  }
}

}  // namespace

template <class T>
void initialise_slots(const std::vector<ParameterSlot>& slots, std::uint64_t seed,
                      std::span<T> weights) {
  std::fill(weights.begin(), weights.end(), T(0));  // what lies between the slots, too
  for (const ParameterSlot& slot : slots) {
    const long last = slot.offset + (slot.rows - 1) * slot.stride + slot.cols;
    MILLRACE_CHECK(last <= static_cast<long>(weights.size()));
    initialise_slot(slot, seed, weights.data() + slot.offset);
  }
}

template void initialise_slots(const std::vector<ParameterSlot>&, std::uint64_t, std::span<float>);
template void initialise_slots(const std::vector<ParameterSlot>&, std::uint64_t, std::span<double>);

}  // namespace millrace
