#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/commit.h"
#include "store/database.h"
#include "store/keys.h"

namespace millrace {

/// A sum over everything that a store should hold: its values, and the keys and sizes of the pieces
/// of its logs. Each commit writes it, and a start computes it anew, so that a database from which
/// a file was lost with the entry that named it, which its own checksums cannot show, is refused.
/// Memory: about 100 bytes a value. A plain value.
class Seal {
 public:
  /// Of what the database holds now; reads values and index. Error: throws StoreDamagedError.
  static Seal of(const Database& database);

  /// What a commit changes.
  void apply(const Commit& commit, const std::vector<keys::PieceKey>& removed,
             const std::vector<WrittenPiece>& written);

  /// All values and pieces whose keys begin with `prefix` go.
  void forget(std::string_view prefix);

  /// Puts it into `changes`.
  void write(WriteSet& changes) const;
  /// Whether the database holds this one; one without any commit holds none.
  /// Error: throws StoreDamagedError.
  void check(const Database& database) const;

 private:
  void put_value(const std::string& key, std::uint64_t hash);
  void put_piece(std::string_view key, std::uint64_t bytes);

  std::uint64_t sum_ = 0;
  std::unordered_map<std::string, std::uint64_t> values_;        // by key: the hash
  std::unordered_map<std::string, std::uint64_t> piece_hashes_;  // by key
};

}  // namespace millrace
