#include "learner/evaluate/grouped_auc.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/evaluate/window.h"

namespace millrace {

GroupedAuc::GroupedAuc(int rows)
    : piece_rows_(static_cast<std::size_t>(std::max(1, rows / static_cast<int>(kPieces)))) {
  MILLRACE_CHECK(rows > 0);
}

void GroupedAuc::add(std::uint64_t user, double logit, bool positive, double weight) {
  if (user == 0) return;
  changed_ = true;
  const auto size = static_cast<float>(std::fabs(weight));
  open_.push_back({user, static_cast<float>(logit), positive ? -size : size});
  if (open_.size() < piece_rows_) return;
  closed_[pieces_ % kPieces] = std::move(open_);
  open_ = {};
  ++pieces_;
}

GroupedAucFigure GroupedAuc::figure() const {
  std::vector<Row> rows = open_;
  const std::uint64_t count = std::min(pieces_, std::uint64_t{kPieces});
  for (std::uint64_t n = pieces_ - count; n < pieces_; ++n) {
    const Piece& piece = closed_[n % kPieces];
    rows.insert(rows.end(), piece.begin(), piece.end());
  }
  // By all that the sums depend on: their order is that of no table and no piece.
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    if (a.user != b.user) return a.user < b.user;
    return a.logit != b.logit ? a.logit < b.logit : a.weight < b.weight;
  });
  GroupedAucFigure figure;
  figure.rows = rows.size();
  double weights = 0, sum = 0;
  for (auto first = rows.begin(); first != rows.end();) {
    // Rows of one user, in ascending order of their logits.
    double positives = 0, negatives = 0, won = 0;
    auto row = first;
    while (row != rows.end() && row->user == first->user) {
      double tied_positives = 0, tied_negatives = 0;
      for (const float logit = row->logit;
           row != rows.end() && row->user == first->user && row->logit == logit; ++row) {
        (std::signbit(row->weight) ? tied_positives : tied_negatives) += std::fabs(row->weight);
      }
      won += tied_positives * (negatives + tied_negatives / 2);
      positives += tied_positives;
      negatives += tied_negatives;
    }
    ++figure.users;
    first = row;
    if (!(positives > 0 && negatives > 0)) continue;
    ++figure.counted;
    const double weight = positives + negatives;
    weights += weight;
    sum += weight * (won / (positives * negatives));
  }
  if (weights > 0) figure.value = sum / weights;
  return figure;
}

void GroupedAuc::write(const Piece& piece, ByteWriter& writer) const {
  writer.put(static_cast<std::uint32_t>(piece.size()));
  for (const Row& row : piece) {
    writer.put(row.user);
    writer.put(row.logit);
    writer.put(row.weight);
  }
}

GroupedAuc::Piece GroupedAuc::read(ByteReader& reader) const {
  Piece piece;
  for (auto count = reader.get<std::uint32_t>(); count > 0; --count) {
    const auto user = reader.get<std::uint64_t>();
    const auto logit = reader.get<float>();
    if (std::isnan(logit)) throw StateError("a saved metric has a logit that is no number");
    piece.push_back({user, logit, reader.get<float>()});
  }
  return piece;
}

void GroupedAuc::save(const std::string& name, StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  const auto begin = [&] { writer.put(static_cast<std::uint64_t>(piece_rows_)); };
  begin();
  writer.put(pieces_);
  write(open_, writer);
  changes.values.push_back({name, writer.take()});
  const std::uint64_t oldest = pieces_ - std::min(pieces_, std::uint64_t{kPieces});
  for (std::uint64_t n = std::max(oldest, saved_pieces_); n < pieces_; ++n) {
    begin();
    write(closed_[n % kPieces], writer);
    changes.values.push_back({name + "/" + std::to_string(n % kPieces), writer.take()});
  }
  saved_pieces_ = pieces_;
}

void GroupedAuc::restore(std::string_view piece, std::string_view bytes) {
  ByteReader reader(bytes);
  const bool fits = reader.get<std::uint64_t>() == piece_rows_;
  if (piece.empty()) {
    const auto pieces = reader.get<std::uint64_t>();
    Piece open = read(reader);
    if (fits) {
      pieces_ = saved_pieces_ = pieces;
      open_ = std::move(open);
    }
  } else {
    Piece closed = read(reader);
    const std::size_t at = saved_piece(piece, kPieces);
    if (fits) closed_[at] = std::move(closed);
  }
  if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
}

}  // namespace millrace
