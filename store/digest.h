#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/database.h"

namespace millrace {

/// What the last commit holds, found by reading all of it.
struct StateSummary {
  struct Set {
    std::string participant, set;
    std::uint64_t entries = 0;       ///< That live.
    std::uint64_t bytes = 0;         ///< Of their keys and values.
    std::uint64_t pieces = 0;        ///< Of the log that holds them,
    std::uint64_t stored_bytes = 0;  ///< and its size.
    std::uint64_t cold_blocks = 0;   ///< Beside the log,
    std::uint64_t cold_entries = 0;  ///< and those of `entries` that lie in them.
  };
  /// Σ mod 2⁶⁴ of h(value, h(key, h(set, h(participant, 1)))) over the entries that live, and of
  /// h(bytes, h(name, h(participant, 2))) over the values that count in the digest; h is
  /// `hash_bytes(bytes, seed)`. A sum, so that neither order nor place matters.
  std::uint64_t digest = 0;
  std::vector<Set> sets;  ///< By participant, then set; empty ones too.
};

/// Computes the summary from the database alone. The newest change of a key decides, so the sets'
/// logs are read from their ends, and hashes of the keys that were seen are kept; two keys are
/// taken for one with a chance of n²/2⁶⁵ (n keys). Memory: about 16–32 bytes a key of one
/// participant outside cold blocks, plus one piece. Error: throws StoreError, StateError.
StateSummary summarize(const Database& database);

}  // namespace millrace
