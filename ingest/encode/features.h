#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "learner/data/batch.h"
#include "learner/data/derived_keys.h"
#include "learner/data/feature_key.h"
#include "learner/data/schema.h"

namespace millrace {

/// The features of one event or candidate: keys and untransformed numbers, in one string of bytes
/// whose layout follows from the schema. This is what a waiting impression holds, what an open
/// batch's row holds, and what is stored.
///
///   one u64 key for each categorical feature (kMissingKey: missing)
///   one u32 element count for each bag feature, then all bags' keys (u64), bag after bag
///   one f64 for each numeric feature, in buckets or not (NaN: missing)
///   f32 values of all dense features side by side (a missing vector is zeros)
///   one u64 key of the event's field `slice`, where it has one (`append_slice`)
/// Each group in the order of the configuration. Crosses have nothing in it.
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
  /// JSON comes through set_integer. After a false the feature's value is unspecified until it is
  /// set again or `set_missing`.
  [[nodiscard]] bool set_text(int feature, std::string_view value);
  [[nodiscard]] bool set_integer(int feature, std::int64_t value);
  [[nodiscard]] bool set_unsigned(int feature, std::uint64_t value);
  [[nodiscard]] bool set_number(int feature, double value);
  [[nodiscard]] bool set_boolean(int feature, bool value);
  /// Also ends a list of this feature that was begun.
  void set_missing(int feature);

  /// A list: `begin_list`, its elements by the set_ functions above, `end_list`. An empty bag is a
  /// value, not a missing one. Numbers of dense vectors are kept within the range of f32.
  [[nodiscard]] bool begin_list(int feature);
  [[nodiscard]] bool end_list(int feature);

  /// Whether the feature was set to a value (not missing) since the last `finish`.
  bool has(int feature) const { return present_[static_cast<std::size_t>(feature)] != 0; }
  /// Features that no value was set for; crosses can have none.
  int missing() const {
    return static_cast<int>(present_.size() - schema_.crosses().size()) - set_;
  }

  /// Forgets everything set.
  void clear();
  /// Writes what was set to `encoded` (overwritten) and clears.
  void finish(EncodedFeatures& encoded);

  const Schema& schema() const { return schema_; }

 private:
  struct Column {
    FeatureKind kind;
    std::size_t slot;    // within its kind; of a dense feature: its first value
    int width;           // dense
    std::uint64_t seed;  // of the table's keys
  };
  const Column& column(int feature) const { return columns_[static_cast<std::size_t>(feature)]; }
  bool set_key(int feature, std::uint64_t key);
  bool set_value(int feature, double value);
  void mark(int feature);

  const Schema& schema_;
  std::vector<Column> columns_;  // by feature
  std::vector<std::uint64_t> categorical_;
  std::vector<std::vector<std::uint64_t>> bags_;
  std::vector<double> numeric_;
  std::vector<float> dense_;
  std::vector<std::uint8_t> present_;
  int set_ = 0;
  int list_ = -1;  // the feature whose list is open
  int list_count_ = 0;
};

/// Adds the key of an event's slice to its features.
void append_slice(std::uint64_t slice, EncodedFeatures& encoded);

/// What a value of this feature must look like, for messages: "a string, an integer or a boolean".
std::string expected_value(const Feature& feature);

/// Appends one row's features to a batch and counts the row; labels, conditions and weights are the
/// caller's. Transforms, buckets and crosses apply here; what leaves the range of f32 stays at its
/// end, so a finite number never becomes an infinity. Requires: `encoded` was made with this schema
/// (it may come out of saved state that is damaged: throws StateError, and the batch is of no more
/// use), and `batch` by `empty_batch` of it.
void append_features(const Schema& schema, std::string_view encoded, Batch& batch);

}  // namespace millrace
