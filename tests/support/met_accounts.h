#pragma once

#include <cstdint>
#include <vector>

#include "ingest/join/accounts.h"

namespace millrace {

/// What becomes of events in the end, by kind: for tests that a generator of histories misses none.
inline std::vector<std::uint64_t> fates_of(const Accounts& a) {
  return {a.impressions.late,
          a.impressions.duplicate,
          a.impressions.finished,
          a.outcomes.late,
          a.outcomes.duplicate,
          a.outcomes.out_of_window,
          a.outcomes.unmatched,
          a.outcomes.unused,
          a.outcomes.applied,
          a.samples,
          a.rows};
}

/// The same of many histories together.
class MetFates {
 public:
  void add(const Accounts& accounts) {
    const std::vector<std::uint64_t> fates = fates_of(accounts);
    sums_.resize(fates.size());
    for (std::size_t i = 0; i < fates.size(); ++i) sums_[i] += fates[i];
  }
  const std::vector<std::uint64_t>& sums() const { return sums_; }

 private:
  std::vector<std::uint64_t> sums_;
};

}  // namespace millrace
