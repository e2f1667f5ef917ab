#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/join_state.h"

namespace millrace {

/// The values of the join's sets as they are kept in the store (store/FORMAT.md). An impression's
/// value does not depend on the order in which its outcomes came, so neither does the digest.
/// Types of outcomes are written by name: a type that the configuration adds moves no other.
/// Errors: the reading functions throw StateError.

/// i64 time · f64 weight · u16 count (+ 0x8000 where there is a user), u16 index of each open task,
/// ascending, + 0x8000 where its short wait has passed, + 0x4000 where its first row had the label
/// 1 · u64 user, where there is one · u32 length, features · u32 count, applied outcomes in the
/// order of their identity.
void write_impression(const WaitingImpression& impression, const EventTypes& types, int tasks,
                      ByteWriter& writer);
WaitingImpression read_impression(std::string_view id, std::string_view value,
                                  const EventTypes& types, int tasks);

/// u32 count, then for each: u32 length, type · i64 time · u8 flags (1: value, 2: event id) ·
/// f64 value · u32 length, event id.
void write_outcomes(std::span<const KeptOutcome* const> outcomes, const EventTypes& types,
                    ByteWriter& writer);
std::vector<KeptOutcome> read_outcomes(std::string_view value, const EventTypes& types);

}  // namespace millrace
