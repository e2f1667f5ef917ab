#include "learner/evaluate/window.h"

#include <algorithm>
#include <charconv>

namespace millrace {

void Window::add(const Measurement& measurement) {
  open_.add(measurement);
  if (open_.rows() < kPieceRows) return;
  closed_[pieces_ % kClosedPieces] = open_.sparse();
  ++pieces_;
  open_.clear();
}

Tally Window::tally() const {
  Tally tally = open_;
  const std::uint64_t count = std::min(pieces_, std::uint64_t{kClosedPieces});
  for (std::uint64_t n = pieces_ - count; n < pieces_; ++n) {
    tally.add(closed_[n % kClosedPieces]);
  }
  return tally;
}

void Window::save(const std::string& name, StateChanges& changes) {
  ByteWriter writer;
  writer.put(pieces_);
  open_.sparse().save(writer);
  changes.values.push_back({name, writer.take()});
  const std::uint64_t oldest = pieces_ - std::min(pieces_, std::uint64_t{kClosedPieces});
  for (std::uint64_t n = std::max(oldest, saved_pieces_); n < pieces_; ++n) {
    closed_[n % kClosedPieces].save(writer);
    changes.values.push_back({name + "/" + std::to_string(n % kClosedPieces), writer.take()});
  }
  saved_pieces_ = pieces_;
}

void Window::restore(std::string_view piece, std::string_view bytes) {
  ByteReader reader(bytes);
  if (piece.empty()) {
    pieces_ = saved_pieces_ = reader.get<std::uint64_t>();
    open_.clear();
    open_.add(SparseTally::restored(reader));
  } else {
    std::size_t place = 0;
    const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), place);
    if (error != std::errc{} || end != piece.data() + piece.size() || place >= closed_.size()) {
      throw StateError("saved metrics have an unknown piece");
    }
    closed_[place] = SparseTally::restored(reader);
  }
  if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
}

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
