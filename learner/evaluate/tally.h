#pragma once

#include <cstdint>
#include <vector>

#include "learner/base/state.h"
#include "learner/evaluate/auc.h"
#include "learner/evaluate/figures.h"
#include "learner/evaluate/log_loss.h"
#include "learner/evaluate/regression.h"

namespace millrace {

/// One row's prediction beside its label.
struct Measurement {
  double weight = 1;      ///< 1 / sampling rate.
  double label = 0;       ///< 0 or 1, or the label in its units.
  double prediction = 0;  ///< The probability, or the value in the label's units.
  double logit = 0;       ///< Binary: log q − log(1 − q).
  double loss = 0;        ///< Binary: the cross-entropy.
};

/// What is summed over rows, without the histogram.
struct Sums {
  std::uint64_t rows = 0;
  std::uint64_t positives = 0;
  LogLossSums binary;
  SquaredErrorSums squared;

  void add(const Sums& other);
  /// Everything of `figures` that needs no histogram.
  void fill(Figures& figures, bool is_binary) const;
  /// Compact while the weights are whole numbers.
  void save(ByteWriter& writer) const;
  static Sums restored(ByteReader& reader);
};

struct SparseBin {
  int bin;
  BinCounts counts;
};

/// What some rows add up to, for keeping: only bins that hold something, ascending.
struct SparseTally {
  Sums sums;
  std::vector<SparseBin> bins;

  /// Both together.
  static SparseTally merged(const SparseTally& a, const SparseTally& b);
  /// Compact: about 3 bytes a bin while the weights are whole numbers.
  void save(ByteWriter& writer) const;
  static SparseTally restored(ByteReader& reader);
};

/// What some rows add up to, for adding. Memory: 64 KiB for a binary output.
class Tally {
 public:
  using Kept = SparseTally;

  explicit Tally(bool binary);

  bool binary() const { return !bins_.empty(); }
  std::uint64_t rows() const { return sums_.rows; }
  const Sums& sums() const { return sums_; }
  void add(const Measurement& measurement);
  void add(const SparseTally& other);
  void clear();
  SparseTally sparse() const;
  Figures figures() const;

 private:
  Sums sums_;
  std::vector<BinCounts> bins_;
};

}  // namespace millrace
