#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/base/hash.h"

namespace millrace {

struct Feature;
class Schema;
struct Batch;

/// A bucketised number: bucket i = how many boundaries are at most x; its key is that of the text
/// of i. Immutable; any thread.
class Buckets {
 public:
  Buckets() = default;
  /// The feature's boundaries as given, or `buckets` of equal width over its range: of the
  /// transformed number, so that with log1p the widths grow with the number. What is beyond the
  /// range belongs to the first or last bucket. Requires: is_bucketised(feature), boundaries
  /// ascend, the range is two ascending numbers.
  Buckets(const Feature& feature, std::uint64_t table_seed);

  /// kMissingKey for NaN. `x` is not transformed.
  std::uint64_t key(double x) const;
  const std::vector<double>& boundaries() const { return boundaries_; }

 private:
  std::vector<double> boundaries_;
  std::vector<std::uint64_t> keys_;
};

/// The key of a cross from those of its parts, in their order: a hash of them; missing where one
/// part is.
class CrossKey {
 public:
  explicit CrossKey(std::uint64_t table_seed) : hash_(mix_bits(table_seed ^ kSalt)) {}
  void add(std::uint64_t part) {
    missing_ |= part == 0;
    hash_ = mix_bits(hash_ ^ part) * kFactor;
  }
  std::uint64_t key() const {
    if (missing_) return 0;
    return hash_ == 0 ? 1 : hash_;
  }

 private:
  static constexpr std::uint64_t kSalt = 0x63726f7373ULL, kFactor = 0x9e3779b97f4a7c15ULL;
  std::uint64_t hash_;
  bool missing_ = false;
};

/// Appends the crosses' keys of the batch's last row to their columns, from those of their parts.
/// Requires: every other column has that row.
void append_crosses(const Schema& schema, Batch& batch);

}  // namespace millrace
