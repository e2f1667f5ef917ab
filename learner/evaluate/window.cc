#include "learner/evaluate/window.h"

namespace millrace {

void LastFifth::add(const Measurement& measurement) {
  open_.add(measurement);
  if (open_.rows() < piece_rows_) return;
  closed_.push_back(open_.sparse());
  open_.clear();
  if (closed_.size() < kMostPieces) return;
  for (std::size_t i = 0; i < kMostPieces / 2; ++i) {
    closed_[i] = SparseTally::merged(closed_[2 * i], closed_[2 * i + 1]);
  }
  closed_.resize(kMostPieces / 2);
  piece_rows_ *= 2;
}

Tally LastFifth::tally() const {
  std::uint64_t rows = open_.rows();
  for (const SparseTally& piece : closed_) rows += piece.sums.rows;
  Tally tally = open_;
  // A piece belongs to it while that brings its rows nearer to a fifth.
  for (auto piece = closed_.rbegin(); piece != closed_.rend(); ++piece) {
    if (10 * tally.rows() + 5 * piece->sums.rows > 2 * rows) break;
    tally.add(*piece);
  }
  return tally;
}

}  // namespace millrace
