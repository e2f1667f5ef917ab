#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// The features of one event or candidate: keys and untransformed numbers, in one string of bytes
/// whose layout follows from the schema. This is what a waiting impression holds, what an open
/// batch's row holds, and what is stored.
///
///   one u64 key for each categorical feature (kMissingKey: missing)
///   one u32 element count for each bag feature, then all bags' keys (u64), bag after bag
///   one f64 for each numeric feature (NaN: missing)
///   f32 values of all dense features side by side (a missing vector is zeros)
/// Each group in the order of the configuration.
using EncodedFeatures = std::string;

/// Collects the features of one event or candidate from typed values, whatever they were parsed
/// from: one code encodes for training and for scoring. A feature that is set twice keeps the later
/// value. Reusable: `finish` leaves it empty. Threads: one builder per thread.
class FeatureBuilder {
 public:
  /// Borrows `schema`.
  explicit FeatureBuilder(const Schema& schema);

  /// Each returns whether the value's type fits the feature (contract: categorical: string,
  /// integer, boolean; bag: a list of these; numeric: number; dense: `width` numbers). Integers and
  /// booleans are hashed as their decimal text, "true" and "false". A number that is an integer in
  /// JSON comes through set_integer.
  [[nodiscard]] bool set_text(int feature, std::string_view value);
  [[nodiscard]] bool set_integer(int feature, std::int64_t value);
  [[nodiscard]] bool set_unsigned(int feature, std::uint64_t value);
  [[nodiscard]] bool set_number(int feature, double value);
  [[nodiscard]] bool set_boolean(int feature, bool value);
  void set_missing(int feature);

  /// A list: `begin_list`, its elements by the set_ functions above, `end_list`.
  [[nodiscard]] bool begin_list(int feature);
  [[nodiscard]] bool end_list(int feature);

  /// Whether the feature was set to a value (not missing) since the last `finish`.
  bool has(int feature) const;
  /// Features that no value was set for.
  int missing() const;

  /// Forgets everything set.
  void clear();
  /// Writes what was set to `encoded` (overwritten) and clears.
  void finish(EncodedFeatures& encoded);

 private:
  const Schema& schema_;
  std::vector<int> slot_;  ///< By feature: its index within its kind.
  std::vector<std::uint64_t> categorical_;
  std::vector<std::vector<std::uint64_t>> bags_;
  std::vector<double> numeric_;
  std::vector<float> dense_;
  std::vector<int> dense_offset_;
  std::vector<std::uint8_t> present_;
  int list_ = -1;
  int list_count_ = 0;
};

/// The key of a categorical value's text in a table of this seed; never kMissingKey.
std::uint64_t feature_key(std::string_view text, std::uint64_t table_seed);

/// Appends one row's features to a batch: transforms apply here. Rows only; labels are the
/// caller's. Requires: `encoded` was made with this schema.
void append_features(const Schema& schema, std::string_view encoded, Batch& batch);

}  // namespace millrace
