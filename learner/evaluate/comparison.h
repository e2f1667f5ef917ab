#pragma once

#include <cstdint>
#include <vector>

#include "learner/evaluate/bootstrap.h"
#include "learner/evaluate/scored_rows.h"
#include "learner/evaluate/tally.h"

namespace millrace {

/// What one model says of one task along a stream, kept so that it can be held against other models
/// of the same stream: in sums, by blocks of the stream in its order and by users, and row by row.
///
/// Blocks are equal spans of the stream's rows, by the rows' positions: at most 128, and when there
/// would be more, neighbours become one. Users are dealt by a hash into 256 groups, the units of a
/// bootstrap over users (a user's rows are all in one). Memory: 128 + 256 sparse tallies (each at
/// most 64 KiB, about 3 KiB where predictions are alike), 0.5 MiB of rows that wait, and of a
/// binary output ScoredRows. Threads: one at a time.
class ComparedOutput {
 public:
  static constexpr std::size_t kMostBlocks = 128;
  static constexpr std::size_t kGroups = 256;

  /// Rows that a binary output keeps one by one, unless it is told to keep fewer.
  static constexpr std::size_t kMostScoredRows = 1 << 22;

  explicit ComparedOutput(bool binary, std::size_t most_scored_rows = kMostScoredRows)
      : binary_(binary), scratch_(binary), groups_(kGroups), scored_(most_scored_rows) {}

  bool binary() const { return binary_; }
  /// `position`: how many rows of the stream came before this one's batch. Requires: it does not
  /// descend. `user`: 0: none.
  void add(const Measurement& row, std::uint64_t user, std::uint64_t position);
  /// After the last row: all that waits is added up.
  void finish();

  /// Of the stream's rows [i · block_rows(), (i + 1) · block_rows()) the i-th is of those that were
  /// measured.
  const std::vector<SparseTally>& blocks() const { return blocks_; }
  std::uint64_t block_rows() const { return block_rows_; }
  /// By group of users; rows without a user are in none.
  const std::vector<SparseTally>& groups() const { return groups_; }
  const ScoredRows& scored() const { return scored_; }  ///< Empty of other than binary outputs.
  std::uint64_t rows() const { return rows_; }
  std::uint64_t rows_with_user() const { return rows_with_user_; }

 private:
  struct Waiting {
    Measurement row;
    std::uint64_t block, group;  ///< kGroups: no user.
  };
  void add_up();

  const bool binary_;
  std::vector<Waiting> waiting_;
  Tally scratch_;
  std::vector<SparseTally> blocks_, groups_;
  ScoredRows scored_;
  std::uint64_t block_rows_ = 256, rows_ = 0, rows_with_user_ = 0;
};

/// The units of a paired comparison of two outputs of the same stream: the groups of users where
/// nearly all rows have one, else the blocks of the stream, of equal spans for both.
struct PairedUnits {
  std::vector<SparseTally> a, b;
  bool by_user = false;
};
/// Requires: both are finished.
PairedUnits paired_units(const ComparedOutput& a, const ComparedOutput& b);
/// The blocks, in the stream's order, whether rows have users or not.
PairedUnits paired_blocks(const ComparedOutput& a, const ComparedOutput& b);

}  // namespace millrace
