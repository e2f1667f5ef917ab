#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"

// The rows of shape S4: 26 categorical features with 400,000 keys each, Zipf 1.05, two binary
// tasks.
namespace millrace {

inline constexpr int kSparseFields = 26;
inline constexpr int kSparseDimension = 16;
inline constexpr int kSparseBatch = 4096;

inline Schema sparse_schema() {
  std::vector<Feature> features(kSparseFields);
  for (std::size_t f = 0; f < features.size(); ++f) {
    features[f].name = "c" + std::to_string(f);
    features[f].dimension = kSparseDimension;
  }
  std::vector<Task> tasks(2);
  tasks[0].name = "click";
  tasks[1].name = "like";
  return {std::move(features), std::move(tasks)};
}

/// Draws batches, a second of event time apart. From an empty table on every step has keys that
/// were never seen; and with an expiry of some hundred seconds such as had gone.
class SparseStream {
 public:
  SparseStream() {
    double sum = 0;
    for (int rank = 1; rank <= kKeys; ++rank) shares_.push_back(sum += std::pow(rank, -1.05));
  }

  const Batch& next(int rows = kSparseBatch) {
    batch_.rows = rows;
    batch_.columns.resize(kSparseFields);
    batch_.due = batch_.seen = {1'764'000'000'000 + 1000 * ++steps_};
    const auto draw = [&] { return to_unit(philox(1, 2, ++draws_)[0]); };
    for (std::size_t f = 0; f < kSparseFields; ++f) {
      batch_.columns[f].keys.clear();
      for (int r = 0; r < rows; ++r) {
        const auto at = std::upper_bound(shares_.begin(), shares_.end(), draw() * shares_.back());
        const auto rank = static_cast<std::uint64_t>(std::min<std::ptrdiff_t>(
            at - shares_.begin(), static_cast<std::ptrdiff_t>(shares_.size()) - 1));
        batch_.columns[f].keys.push_back(mix_bits(rank + 1 + (f << 32)));
      }
    }
    batch_.labels.clear();
    for (int i = 0; i < 2 * rows; ++i) batch_.labels.push_back(draw() < 0.1 ? 1.0F : 0.0F);
    batch_.condition.assign(static_cast<std::size_t>(2 * rows), 1);
    batch_.weights.assign(static_cast<std::size_t>(rows), 1);
    return batch_;
  }

 private:
  static constexpr int kKeys = 400'000;
  std::vector<double> shares_;
  Batch batch_;
  std::int64_t steps_ = 0;
  std::uint64_t draws_ = 0;
};

}  // namespace millrace
