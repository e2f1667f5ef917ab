#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "store/database.h"

namespace millrace {

/// What happened to a store beside its commits; kept in it, the last few.
struct StoreEvent {
  enum class Kind : std::uint8_t {
    kLost = 1,        ///< Acknowledged commits were not there when it was opened.
    kRolledBack = 2,  ///< An administrator went back to a snapshot.
  };
  Kind kind = Kind::kLost;
  std::uint64_t from = 0;    ///< The last commit before.
  std::uint64_t to = 0;      ///< The commit whose state it had afterwards.
  std::uint64_t commit = 0;  ///< The number that this state got.
  // Of a rollback.
  EventTime time{};  ///< By the wall clock.
  std::string snapshot{};
  bool keeps_offsets = false;
};

/// Oldest first. Error: throws StoreDamagedError.
std::vector<StoreEvent> read_history(const Database& database);

/// Puts `event` behind `history` and the number of its commit; forgets the oldest beyond 16.
void add_to_history(std::vector<StoreEvent> history, StoreEvent event, WriteSet& changes);

}  // namespace millrace
