#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/keys.h"

namespace millrace {

/// Which pieces the store holds, set by set, oldest first, with their sizes; and which of them the
/// owners should put again next, so that a set's log stays within a multiple of what lives in it.
///
/// A set is cleaned while its pieces hold more than 2 · live + 32 MiB, or there are more than 1024
/// beside what large pieces make necessary. Only the oldest are handed out: an erasure in the
/// oldest piece concerns puts in pieces that are gone, so it may go too.
///
/// A commit hands out at most max(4 MiB, 3 · f) of a set, and at least one piece, where f is the
/// mean size of what the owner writes of itself. In every fourth commit nothing is handed out: it
/// shows f. The mean, 2.25 · f, is more than the f / (1 − 1/2) that is needed to keep a log of
/// 2 · live from growing. While the oldest pieces are all alive a log grows further by at most
/// 1/2.25 of what lives.
///
/// Memory: about 24 bytes a piece. Threads: one at a time.
class PieceIndex {
 public:
  /// Totals over all sets, for the probe.
  struct Totals {
    std::uint64_t pieces = 0, bytes = 0, live_bytes = 0;
  };
  struct SetSize {
    std::uint64_t pieces = 0, bytes = 0;
    std::optional<std::uint64_t> live_bytes;
  };

  /// Requires: pieces of a set come in the order (sequence, piece).
  void add(const keys::PieceKey& key, std::uint64_t bytes);
  /// Requires: `key` is the oldest piece of its set.
  void remove_oldest(const keys::PieceKey& key);
  /// All sets of a participant go.
  void forget(const std::string& participant);
  void set_live_bytes(const std::string& participant, const std::string& set, std::uint64_t bytes);
  /// What was added so far was there when the store was opened.
  void end_load();
  /// Ends a commit: what was added and removed since the last call belongs to it.
  void end_commit();

  /// The pieces to clean with the next commit.
  std::vector<keys::PieceKey> to_clean() const;

  /// The participants that have pieces.
  std::set<std::string> participants() const;
  std::map<std::string, SetSize> sets_of(const std::string& participant) const;
  Totals totals() const;

 private:
  struct Piece {
    std::uint64_t sequence;
    std::uint32_t piece;
    std::uint64_t bytes;
  };
  struct Log {
    std::deque<Piece> pieces;
    std::uint64_t bytes = 0;
    std::optional<std::uint64_t> live_bytes;  // nothing: not told yet
    std::uint64_t added_bytes = 0;            // in this commit
    bool cleaned = false;                     // in this commit
    double own_bytes = 0;                     // f
    bool needs_cleaning() const;
  };

  std::map<std::pair<std::string, std::string>, Log> logs_;  // by participant and set
  std::uint64_t commits_ = 0;
};

}  // namespace millrace
