#pragma once

#include <compare>
#include <cstddef>
#include <optional>
#include <set>
#include <string>

#include "learner/base/time.h"

namespace millrace {

/// What the join keeps of an outcome, beside the impression that it is kept under: of one that was
/// applied, to know its repetitions and to make labels, and of one that waits for its impression.
struct KeptOutcome {
  int type = 0;  ///< Index into EventTypes::outcomes.
  EventTime time;
  std::optional<double> value;          ///< As it came; a type may do without.
  std::optional<std::string> event_id;  ///< Its identity within its type, if the producer gave one.

  /// Bytes of heap memory.
  std::size_t heap_bytes() const;
};

/// Orders outcomes by their identity: (type, `event_id`), or (type, time, value) without one. Two
/// that are equal in it are one outcome.
struct ByIdentity {
  using is_transparent = void;
  bool operator()(const KeptOutcome& a, const KeptOutcome& b) const;
  /// Comparisons with a type alone, to find all outcomes of one.
  bool operator()(const KeptOutcome& a, int type) const { return a.type < type; }
  bool operator()(int type, const KeptOutcome& b) const { return type < b.type; }
};

/// The outcomes that were applied to one impression: each identity once, the first that fitted. A
/// set, so that many outcomes of one impression stay O(log n) each.
using AppliedOutcomes = std::set<KeptOutcome, ByIdentity>;

}  // namespace millrace
