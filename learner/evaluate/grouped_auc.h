#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// The AUC within users, as it is reported.
struct GroupedAucFigure {
  /// Nothing unless some user has both classes.
  std::optional<double> value;
  std::uint64_t rows = 0;     ///< Rows held: what the value is taken over.
  std::uint64_t users = 0;    ///< Their users,
  std::uint64_t counted = 0;  ///< and those of them that have both classes.
};

/// GAUC: the AUC of each user's rows, averaged over the users who have both classes, each weighing
/// what all of their rows weigh (Zhu et al. 2017, "Optimized cost per click in Taobao display
/// advertising", eq. 9).
///
///   GAUC = Σ_u W_u AUC_u / Σ_u W_u,   AUC_u = Σ_n w_n (P_{>n} + ½ P_{=n}) / (P N)
///
/// Exact over the rows held, on logits as floats: the last `rows` rows that have a user, by 16
/// pieces. When they are full the oldest piece goes, whoever's rows it holds, so what a row counts
/// does not depend on how many users there are. Rows without a user are passed over.
/// Memory: 16 bytes a row held. Cost: nothing but a copy to add; `figure` sorts what is held.
class GroupedAuc {
 public:
  /// Requires: rows > 0.
  explicit GroupedAuc(int rows);

  /// user: 0 is none.
  void add(std::uint64_t user, double logit, bool positive, double weight);
  GroupedAucFigure figure() const;

  /// Appends what changed since the last call: the open piece as `name`, each closed one once, as
  /// `name`/0 … `name`/15.
  void save(const std::string& name, StateChanges& changes);
  /// `piece`: empty for the open one. What was saved under another number of rows is taken in where
  /// it fits, else passed over. Error: throws StateError.
  void restore(std::string_view piece, std::string_view bytes);

 private:
  static constexpr std::size_t kPieces = 16;
  struct Row {
    std::uint64_t user;
    float logit;
    float weight;  ///< Negative (or −0) for a row of the positive class.
  };
  using Piece = std::vector<Row>;
  void write(const Piece& piece, ByteWriter& writer) const;
  Piece read(ByteReader& reader) const;

  const std::size_t piece_rows_;
  std::array<Piece, kPieces> closed_;  ///< Piece n stands at n modulo 16.
  Piece open_;
  std::uint64_t pieces_ = 0;  ///< Closed so far.
  std::uint64_t saved_pieces_ = 0;
  bool changed_ = false;  ///< Since the last `save`.
};

}  // namespace millrace
