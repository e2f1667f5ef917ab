#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/state.h"
#include "store/keys.h"

namespace millrace {

class WriteSet;

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

}  // namespace millrace
