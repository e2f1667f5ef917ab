#pragma once

#include <array>
#include <cstdint>

#include "ingest/event/rejection.h"

namespace millrace {

/// What became of every event (contract/join.md, Accounts). At any moment
///   events = dead letters + impressions.in + outcomes.in + samples.in
///   impressions.in = late + duplicate + finished + waiting
///   outcomes.in = late + duplicate + out_of_window + unmatched + unused + applied + waiting
/// Counts since the store began; part of the commit, so they hold after any restart.
struct Accounts {
  struct Impressions {
    std::uint64_t in = 0, late = 0, duplicate = 0, finished = 0, waiting = 0;
    bool operator==(const Impressions&) const = default;
  };
  struct Outcomes {
    std::uint64_t in = 0, late = 0, duplicate = 0, out_of_window = 0, unmatched = 0, unused = 0,
                  applied = 0, waiting = 0;
    bool operator==(const Outcomes&) const = default;
  };
  std::uint64_t events = 0;
  std::array<std::uint64_t, kReasons> dead_letters{};  ///< By Reason.
  Impressions impressions;
  Outcomes outcomes;
  std::uint64_t samples = 0;  ///< samples.in
  std::uint64_t rows = 0;     ///< Emitted rows that have a label.
  bool operator==(const Accounts&) const = default;
};

}  // namespace millrace
