#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/state.h"
#include "learner/evaluate/tally.h"

namespace millrace {

/// The last 100,000 rows, by pieces of 5,000: between 95,000 and 100,000 rows once there are as
/// many. Memory: one tally and 19 sparse ones.
class Window {
 public:
  static constexpr std::uint64_t kPieceRows = 5'000;
  static constexpr int kClosedPieces = 19;

  explicit Window(bool binary) : open_(binary) {}

  void add(const Measurement& measurement);
  Tally tally() const;

  /// Appends what changed since the last call: the open piece as `name`, and each piece that was
  /// closed as `name`/0 … `name`/18, which is written once and stays as it is.
  void save(const std::string& name, StateChanges& changes);
  /// `piece`: empty for the open one. Error: throws StateError.
  void restore(std::string_view piece, std::string_view bytes);

 private:
  Tally open_;
  std::array<SparseTally, kClosedPieces> closed_;  ///< Piece n stands at n modulo 19.
  std::uint64_t pieces_ = 0;                       ///< Closed so far.
  std::uint64_t saved_pieces_ = 0;
};

/// The last fifth of the rows since this object was made. Rows are kept in at most 128 pieces of
/// like size, of which neighbours are merged as they become too many; so the share is right to
/// within 1/128 of the rows. Not saved.
class LastFifth {
 public:
  explicit LastFifth(bool binary) : open_(binary) {}

  void add(const Measurement& measurement);
  Tally tally() const;

 private:
  static constexpr std::size_t kMostPieces = 128;

  Tally open_;
  std::vector<SparseTally> closed_;
  std::uint64_t piece_rows_ = 1;
};

}  // namespace millrace
