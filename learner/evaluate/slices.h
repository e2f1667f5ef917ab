#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/tally.h"

namespace millrace {

/// Which slice each row of a batch belongs to, by the value of one categorical feature or by its
/// event's field `slice`: the values
/// that the options name, or the first `most` that come, in the order of the rows; everything else,
/// a missing value too, is the last slice, "other". Threads: one at a time.
class SliceKeys {
 public:
  /// None are taken of a feature that the schema does not have (a model of some features alone).
  /// Requires: options.feature is empty or a categorical feature, and empty where the slice is the
  /// event's.
  SliceKeys(const Schema& schema, const SliceOptions& options);

  /// Slices, "other" included; 0: none are taken.
  int count() const { return most_ < 0 ? 0 : most_ + 1; }
  int other() const { return most_; }
  /// The slice of each of the batch's rows; empty where none are taken. Good until the next call.
  const std::vector<int>& take(const Batch& batch);
  /// What the slice is called: its given name, or its key as 16 hexadecimal digits; "other".
  std::string name(int slice) const;
  /// Distinguishes the state of other options from this one's.
  const std::string& stamp() const { return stamp_; }

  void save(StateChanges& changes) const;
  /// Returns whether the value is its own. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  int slice_of(std::uint64_t key);

  int column_ = -1;     ///< In Batch::columns; −1: Batch::slices.
  int most_ = -1;       ///< −1: none are taken.
  bool fixed_ = false;  ///< The values are those of the options.
  std::string stamp_;
  std::vector<std::uint64_t> keys_;  ///< By slice.
  std::vector<std::string> names_;   ///< By slice, where fixed.
  std::vector<std::pair<std::uint64_t, int>> sorted_;
  std::vector<int> slices_;
};

/// One row of a slice.
struct SlicedMeasurement {
  Measurement row;
  int slice = 0;
};

/// What rows add up to by slice, for keeping.
struct SparseSlices {
  std::vector<std::pair<int, SparseTally>> slices;  ///< Only those with rows, ascending.

  void save(ByteWriter& writer) const;
  static SparseSlices restored(ByteReader& reader);
};

/// What rows add up to by slice, for adding. Memory: 64 KiB a slice that had a row, of a binary
/// output.
class SlicedTally {
 public:
  using Kept = SparseSlices;

  SlicedTally(bool binary, int slices);

  std::uint64_t rows() const { return rows_; }
  void add(const SlicedMeasurement& measurement);
  void add(const SparseSlices& other);
  void clear();
  SparseSlices sparse() const;
  /// Of a slice; nothing where it has no row.
  std::optional<Figures> figures(int slice) const;

 private:
  Tally& of(int slice);

  bool binary_;
  std::uint64_t rows_ = 0;
  std::vector<std::optional<Tally>> slices_;
};

}  // namespace millrace
