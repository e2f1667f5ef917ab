#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "learner/evaluate/tally.h"

namespace millrace {

/// What one model said of a task, row by row, kept so that it can be held against what another
/// model said of the same rows.
///
/// When there are more than `most` rows, half of them go, told by a hash of their place in the
/// stream, so that what is left of two outputs is of the same rows. Memory: 16 bytes a row that is
/// kept, half as much again while they grow. Threads: one at a time.
class ScoredRows {
 public:
  struct Row {
    std::uint64_t place;  ///< (position << 23 | the row's number at that position) << 1 | label
    float logit;
    float weight;
  };

  /// Requires: most > 1.
  explicit ScoredRows(std::size_t most) : most_(most) {}

  /// `position`: how many rows of the stream came before this one's batch. Requires: it does not
  /// descend and is below 2^40, with fewer than 2^23 rows each; the logit is not NaN.
  void add(const Measurement& row, std::uint64_t position);

  /// In the stream's order.
  std::span<const Row> rows() const { return rows_; }
  /// One row in `share` was kept: a power of two.
  std::uint64_t share() const { return share_; }

 private:
  std::size_t most_;
  std::vector<Row> rows_;
  std::uint64_t share_ = 1, position_ = 0, number_ = 0;
};

/// Rows that two outputs both have, and what each said of them.
struct PairedScores {
  std::vector<std::uint8_t> labels;
  std::vector<double> weights;
  std::vector<float> a, b;  ///< Logits.
  std::uint64_t share = 1;  ///< One row in so many of those that both have.
};

/// A row that one of them lacks (a model passes over batches that are not finite), or has with
/// another label or weight, is in neither. Rows of one position are told apart by their order:
/// where a model lacks one of them (delayed feedback, after a batch that it passed over), those
/// after it are paired with their neighbours, or with none where labels differ.
PairedScores paired_scores(const ScoredRows& a, const ScoredRows& b);

}  // namespace millrace
