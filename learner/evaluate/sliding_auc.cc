#include "learner/evaluate/sliding_auc.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/evaluate/window.h"

namespace millrace {
namespace {

constexpr double kUnit = 1 << 24, kMostWeight = 1 << 20;

std::int64_t units(double weight) { return std::llround(std::min(weight, kMostWeight) * kUnit); }

}  // namespace

SlidingAuc::SlidingAuc(int rows)
    : most_(static_cast<std::uint64_t>(rows)), piece_rows_((most_ + kPieces - 1) / kPieces) {
  MILLRACE_CHECK(0 < rows && rows <= kMostRows);
}

void SlidingAuc::add(double logit, bool positive, double weight) {
  take_pending();
  if (std::isnan(logit)) return;
  const std::int64_t size = units(weight);
  put({logit + 0.0, positive ? size : -size});  // +0, not −0: they are one logit
}

void SlidingAuc::put(const Row& row) {
  changed_ = true;
  if (nodes_.empty()) {
    // As much as they will ever need, so that they never move; only what is used is there.
    ring_.reserve(most_);
    nodes_.reserve(most_ + 1);
    nodes_.emplace_back();
  }
  Row* place = nullptr;
  if (ring_.size() < most_) {
    place = &ring_.emplace_back();
  } else {
    place = &ring_[(count_ - base_) % most_];
    root_ = erase(root_, *place);
  }
  *place = row;
  root_ = insert(root_, row);
  ++count_;
}

SlidingAucFigure SlidingAuc::figure() const {
  if (!pending_.empty()) {
    SlidingAuc whole = *this;
    whole.take_pending();
    return whole.figure();
  }
  SlidingAucFigure figure{std::nullopt, ring_.size()};
  if (root_ == 0) return figure;
  const Node& root = nodes_[root_];
  const double pairs = static_cast<double>(root.below[0]) * static_cast<double>(root.below[1]);
  if (pairs > 0) figure.value = root.won / pairs;
  return figure;
}

// A heap by numbers that are a function of the logits, so that the shape is one, too.
bool SlidingAuc::is_above(std::uint32_t a, std::uint32_t b) const {
  const auto of = [&](std::uint32_t at) {
    return mix_bits(std::bit_cast<std::uint64_t>(nodes_[at].logit));
  };
  const std::uint64_t of_a = of(a), of_b = of(b);
  return of_a != of_b ? of_a < of_b : nodes_[a].logit < nodes_[b].logit;
}

void SlidingAuc::sum_up(std::uint32_t at) {
  Node& node = nodes_[at];
  const Node &left = nodes_[node.left], &right = nodes_[node.right];
  for (std::size_t c = 0; c < 2; ++c) node.below[c] = node.own[c] + left.below[c] + right.below[c];
  const auto negatives = static_cast<double>(node.own[0]);
  const auto positives = static_cast<double>(node.own[1]);
  const auto above = static_cast<double>(right.below[1]);
  node.won = left.won + right.won + negatives * (positives / 2 + above) +
             static_cast<double>(left.below[0]) * (positives + above);
}

// The child `up` in the place of its parent.
std::uint32_t SlidingAuc::rotated(std::uint32_t at, std::uint32_t Node::*up,
                                  std::uint32_t Node::*down) {
  const std::uint32_t child = nodes_[at].*up;
  nodes_[at].*up = nodes_[child].*down;
  nodes_[child].*down = at;
  sum_up(at);
  sum_up(child);
  return child;
}

std::uint32_t SlidingAuc::insert(std::uint32_t at, const Row& row) {
  if (at == 0) {
    if (free_ == 0) {
      at = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      at = std::exchange(free_, nodes_[free_].left);
    }
    nodes_[at] = Node{.logit = row.logit};
  }
  Node& node = nodes_[at];
  if (row.logit == node.logit) {
    ++node.rows;
    node.own[row.weight > 0 ? 1 : 0] += std::abs(row.weight);
    sum_up(at);
    return at;
  }
  const bool less = row.logit < node.logit;
  const auto up = less ? &Node::left : &Node::right, down = less ? &Node::right : &Node::left;
  const std::uint32_t child = insert(node.*up, row);
  nodes_[at].*up = child;
  if (is_above(child, at)) return rotated(at, up, down);
  sum_up(at);
  return at;
}

std::uint32_t SlidingAuc::erase(std::uint32_t at, const Row& row) {
  MILLRACE_CHECK(at != 0);
  Node& node = nodes_[at];
  if (row.logit < node.logit) {
    node.left = erase(node.left, row);
  } else if (row.logit > node.logit) {
    node.right = erase(node.right, row);
  } else {
    node.own[row.weight > 0 ? 1 : 0] -= std::abs(row.weight);
    if (--node.rows == 0) {
      const std::uint32_t left = std::exchange(node.left, free_);
      free_ = at;
      return merge(left, node.right);
    }
  }
  sum_up(at);
  return at;
}

std::uint32_t SlidingAuc::merge(std::uint32_t left, std::uint32_t right) {
  if (left == 0 || right == 0) return left + right;
  const std::uint32_t top = is_above(left, right) ? left : right;
  if (top == left) {
    nodes_[top].right = merge(nodes_[top].right, right);
  } else {
    nodes_[top].left = merge(left, nodes_[top].left);
  }
  sum_up(top);
  return top;
}

std::uint64_t SlidingAuc::first() const { return count_ - ring_.size(); }

void SlidingAuc::write(std::uint64_t first, std::uint64_t end, ByteWriter& writer) const {
  writer.put(count_);
  writer.put(first);
  writer.put(static_cast<std::uint32_t>(end - first));
  for (std::uint64_t n = first; n < end; ++n) {
    const Row& row = ring_[(n - base_) % most_];
    writer.put(row.logit);
    writer.put(row.weight);
  }
}

void SlidingAuc::save(const std::string& name, StateChanges& changes) {
  take_pending();
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  const std::uint64_t whole = count_ / piece_rows_, oldest = first() / piece_rows_;
  write(std::max(first(), whole * piece_rows_), count_, writer);
  changes.values.push_back({name, writer.take()});
  for (std::uint64_t n = std::max(oldest, saved_pieces_); n < whole; ++n) {
    write(std::max(first(), n * piece_rows_), (n + 1) * piece_rows_, writer);
    // Which rows an old piece still has, where there were many between two commits, is no part of
    // what the window is.
    changes.values.push_back({name + "/" + std::to_string(n % kSlots), writer.take(), false});
  }
  saved_pieces_ = whole;
}

void SlidingAuc::restore(std::string_view piece, std::string_view bytes) {
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint64_t>();
  Pending pending{reader.get<std::uint64_t>(), {}};
  for (auto left = reader.get<std::uint32_t>(); left > 0; --left) {
    const auto logit = reader.get<double>();
    if (std::isnan(logit)) throw StateError("a saved metric has a logit that is no number");
    pending.rows.push_back({logit, reader.get<std::int64_t>()});
  }
  if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
  if (piece.empty()) pending_count_ = count;
  pending_[piece.empty() ? kSlots : saved_piece(piece, kSlots)] = std::move(pending);
}

void SlidingAuc::take_pending() {
  if (pending_.empty()) return;
  std::vector<Pending> pieces;
  for (auto& [slot, pending] : pending_) pieces.push_back(std::move(pending));
  pending_.clear();
  std::sort(pieces.begin(), pieces.end(),
            [](const Pending& a, const Pending& b) { return a.first < b.first; });
  // Backwards from the newest row, as far as the rows follow each other.
  std::uint64_t begin = pending_count_;
  const std::uint64_t wanted = pending_count_ - std::min(pending_count_, most_);
  for (auto piece = pieces.rbegin(); piece != pieces.rend() && begin > wanted; ++piece) {
    // Pieces of an earlier size may lie across others: a row's number is its own.
    if (piece->first < begin && piece->first + piece->rows.size() >= begin) begin = piece->first;
  }
  begin = std::max(begin, wanted);
  nodes_.clear(), ring_.clear(), free_ = 0;
  root_ = 0;
  count_ = base_ = begin;
  for (const Pending& piece : pieces) {
    for (std::uint64_t i = 0; i < piece.rows.size(); ++i) {
      if (piece.first + i == count_ && count_ < pending_count_) put(piece.rows[i]);
    }
  }
  saved_pieces_ = 0;  // they may have had other sizes
  changed_ = false;
}

}  // namespace millrace
