#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "learner/base/state.h"
#include "store/database.h"
#include "store/piece_index.h"
#include "store/seal.h"

namespace millrace {

/// The format that this version writes; it reads this one only.
inline constexpr std::uint32_t kSchemaVersion = 4;

/// What an open store knows of the last commit without reading the large values.
struct Recovered {
  std::uint64_t sequence = 0;
  std::set<std::string> participants;
  PieceIndex index;
  Seal seal;
};

/// Whether the database was ever begun as a store of ours.
/// Error: throws StoreError where it has a newer schema, or holds something else; `path` is named.
bool has_schema(const Database& database, const std::string& path);

/// Makes an empty database a store of this schema.
void begin_schema(Database& database);

/// Reads meta, the names of the values and the index. Error: throws StoreError.
Recovered recover(const Database& database);

/// Hands the last commit to `participant`: its values, then its pieces in ascending order of
/// (sequence, set, piece), its cold blocks' directories, then `restored`. Nothing where there is
/// none of them.
/// Error: throws StoreError, and what the participant throws.
void restore_participant(const Database& database, Participant& participant);

}  // namespace millrace
