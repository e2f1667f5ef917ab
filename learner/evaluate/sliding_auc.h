#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// The exact AUC of the last rows, as it is reported.
struct SlidingAucFigure {
  std::optional<double> value;  ///< Nothing unless both classes are there.
  std::uint64_t rows = 0;       ///< That it is taken over.
};

/// The AUC over the last `rows` rows, exactly: each row counts until so many have come after it.
///
///   AUC = Σ_n v_n (W_{>n} + ½ W_{=n}) / (W V)      n: negative rows, W, V: sums of the weights
///
/// After Brzezinski and Stefanowski (2017, "Prequential AUC"): an ordered tree over the logits,
/// here with the sums of a whole subtree in its root, won pairs among them, so that the value is
/// read off the root. Weights count in units of 2^-24 up to 2^20, as whole numbers, so that what
/// was added is taken away again to the last bit, and the tree's shape is a function of the logits
/// in it alone: the value depends on the rows held, not on how they came or on restarts. Cost:
/// O(log rows) expected a row, for adding it and for taking the oldest away; the value O(1).
/// Memory: kBytesEach a row held. Threads: one at a time.
class SlidingAuc {
 public:
  static constexpr int kMostRows = 500'000;
  static constexpr std::size_t kBytesEach = 80;

  /// Requires: 0 < rows ≤ kMostRows.
  explicit SlidingAuc(int rows);

  /// A logit that is NaN is passed over. Requires: weight ≥ 0.
  void add(double logit, bool positive, double weight);
  SlidingAucFigure figure() const;

  /// Appends what changed since the last call: what is newest as `name`, and of the rows before it
  /// each piece once, as `name`/0 … `name`/17.
  void save(const std::string& name, StateChanges& changes);
  /// `piece`: empty for the newest. What was saved under another number of rows is taken in where
  /// it is among the last ones. Error: throws StateError.
  void restore(std::string_view piece, std::string_view bytes);

 private:
  static constexpr std::uint64_t kPieces = 16, kSlots = kPieces + 2;
  /// One logit, and all rows that have it. By classes: 0 of the negative ones, 1 of the positive.
  struct Node {
    double logit = 0;
    std::array<std::int64_t, 2> own{}, below{};   ///< Weights; `below` with those of the subtree.
    double won = 0;                               ///< Pairs of the subtree.
    std::uint32_t left = 0, right = 0, rows = 0;  ///< Node 0 is none.
  };
  struct Row {
    double logit;
    std::int64_t weight;  ///< Above 0 for a positive row.
  };
  static_assert(sizeof(Node) + sizeof(Row) <= kBytesEach);
  struct Pending {
    std::uint64_t first = 0;  ///< The number of the first row since the store began.
    std::vector<Row> rows;
  };

  void put(const Row& row);
  std::uint32_t insert(std::uint32_t at, const Row& row);
  std::uint32_t erase(std::uint32_t at, const Row& row);
  std::uint32_t merge(std::uint32_t left, std::uint32_t right);
  std::uint32_t rotated(std::uint32_t at, std::uint32_t Node::*up, std::uint32_t Node::*down);
  bool is_above(std::uint32_t a, std::uint32_t b) const;
  void sum_up(std::uint32_t at);
  std::uint64_t first() const;
  void take_pending();
  void write(std::uint64_t first, std::uint64_t end, ByteWriter& writer) const;

  std::uint64_t most_, piece_rows_;
  std::vector<Row> ring_;  ///< Row n stands at n − base_ modulo most_.
  std::vector<Node> nodes_;
  std::uint32_t free_ = 0;  ///< The node that was freed last; `left` is the one before it.
  std::uint32_t root_ = 0;
  std::uint64_t count_ = 0;         ///< Rows since the store began.
  std::uint64_t base_ = 0;          ///< The first of them since a restore.
  std::uint64_t saved_pieces_ = 0;  ///< Whole pieces of these that are in the store.
  bool changed_ = false;
  /// What a restore has brought, until all of it is there.
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t pending_count_ = 0;
};

}  // namespace millrace
