#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/state.h"
#include "store/database.h"
#include "store/keys.h"

namespace millrace {

/// Everything up to one barrier, of every participant.
struct Commit {
  std::uint64_t sequence = 0;
  struct Part {
    std::string participant;
    StateChanges changes;
  };
  std::vector<Part> parts;
};

/// A piece of a block that a commit writes.
struct WrittenPiece {
  keys::PieceKey key;
  std::uint64_t bytes;
};

/// Puts the keys and values of `commit` into `changes`, and removes the `cleaned` pieces.
/// Returns the pieces in the order of each set. Cost: one copy of all bytes.
/// Error: throws StateError where a large block is not what an EntryWriter wrote.
std::vector<WrittenPiece> encode_commit(const Commit& commit,
                                        const std::vector<keys::PieceKey>& cleaned,
                                        WriteSet& changes);

/// The families that carry the number of the state beside `kMeta` (keys::kMark).
inline constexpr Family kMarkedFamilies[] = {Family::kValues, Family::kIndex, Family::kBlocks,
                                             Family::kColdIndex};

/// Puts the number of the state into all of them.
void put_sequence(std::uint64_t sequence, WriteSet& changes);

}  // namespace millrace
