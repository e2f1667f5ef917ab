#include "ingest/join/state_values.h"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace {
namespace {

constexpr std::uint8_t kHasValue = 1;
constexpr std::uint8_t kHasEventId = 2;
// Beside the index of a task that is open or carried.
constexpr std::uint16_t kPassed = 0x8000, kObserved = 0x4000, kCarried = 0x2000, kDecided = 0x1000;
// Beside the count of these tasks.
constexpr std::uint16_t kHasUser = 0x8000, kHasLooks = 0x4000;

int find_type(const EventTypes& types, std::string_view name) {
  for (std::size_t i = 0; i < types.outcomes.size(); ++i) {
    if (types.outcomes[i].name == name) return static_cast<int>(i);
  }
  throw StateError("the join's state holds outcomes \"" + std::string(name) +
                   "\", which the configuration does not have");
}

void write_outcome(const KeptOutcome& outcome, const EventTypes& types, ByteWriter& writer) {
  writer.put_text(types.outcomes[static_cast<std::size_t>(outcome.type)].name);
  writer.put(outcome.time.ms);
  writer.put(static_cast<std::uint8_t>((outcome.value ? kHasValue : 0) |
                                       (outcome.event_id ? kHasEventId : 0)));
  if (outcome.value) writer.put(*outcome.value);
  if (outcome.event_id) writer.put_text(*outcome.event_id);
}

KeptOutcome read_outcome(ByteReader& reader, const EventTypes& types) {
  KeptOutcome outcome;
  outcome.type = find_type(types, reader.get_text());
  outcome.time.ms = reader.get<std::int64_t>();
  const auto flags = reader.get<std::uint8_t>();
  if ((flags & kHasValue) != 0) outcome.value = reader.get<double>();
  if ((flags & kHasEventId) != 0) outcome.event_id = std::string(reader.get_text());
  return outcome;
}

}  // namespace

void write_impression(const WaitingImpression& impression, const EventTypes& types, int tasks,
                      ByteWriter& writer) {
  writer.put(impression.time.ms);
  writer.put(impression.weight);
  const auto is_written = [&](int k) { return impression.open.has(k) || impression.is_carried(k); };
  std::uint16_t count = 0;
  for (int k = 0; k < tasks; ++k) count = static_cast<std::uint16_t>(count + is_written(k));
  const bool has_user = impression.user != kNoUser;
  const bool has_looks =
      impression.short_waits && impression.short_waits->looked_until >= Duration{0};
  writer.put(
      static_cast<std::uint16_t>(count | (has_user ? kHasUser : 0) | (has_looks ? kHasLooks : 0)));
  for (int k = 0; k < tasks; ++k) {
    if (!is_written(k)) continue;
    const bool passed = impression.has_passed(k);
    const bool observed = passed && impression.short_waits->observed.has(k);
    writer.put(static_cast<std::uint16_t>(k | (passed ? kPassed : 0) | (observed ? kObserved : 0) |
                                          (impression.is_carried(k) ? kCarried : 0) |
                                          (impression.open.has(k) ? 0 : kDecided)));
  }
  if (has_user) writer.put(impression.user);
  if (has_looks) writer.put(std::int64_t{impression.short_waits->looked_until.count()});
  writer.put_text(impression.features);
  const auto applied = impression.applied ? impression.applied->size() : 0;
  writer.put(static_cast<std::uint32_t>(applied));
  if (applied == 0) return;
  for (const KeptOutcome& outcome : *impression.applied) write_outcome(outcome, types, writer);
}

WaitingImpression read_impression(std::string_view id, std::string_view value,
                                  const EventTypes& types, int tasks) {
  ByteReader reader(value);
  WaitingImpression impression;
  impression.id = id;
  impression.time.ms = reader.get<std::int64_t>();
  impression.weight = reader.get<double>();
  const auto count_and_user = reader.get<std::uint16_t>();
  for (int left = count_and_user & ~(kHasUser | kHasLooks); left > 0; --left) {
    const auto word = reader.get<std::uint16_t>();
    const int task = word & ~(kPassed | kObserved | kCarried | kDecided);
    if (task >= tasks) throw StateError("the join's state waits for a task that there is not");
    if ((word & kDecided) == 0) impression.open.add(task);
    if ((word & (kPassed | kCarried)) == 0) continue;
    if (!impression.short_waits) impression.short_waits = std::make_unique<ShortWaits>();
    if ((word & kCarried) != 0) impression.short_waits->carried.add(task);
    if ((word & kPassed) != 0) impression.short_waits->passed.add(task);
    if ((word & kObserved) != 0) impression.short_waits->observed.add(task);
  }
  if ((count_and_user & kHasUser) != 0) {
    impression.user = reader.get<std::uint64_t>();
    if (impression.user == kNoUser) throw StateError("a waiting impression's user is none");
  }
  if ((count_and_user & kHasLooks) != 0) {
    if (!impression.short_waits) impression.short_waits = std::make_unique<ShortWaits>();
    impression.short_waits->looked_until = Duration{reader.get<std::int64_t>()};
    if (impression.short_waits->looked_until < Duration{0}) {
      throw StateError("a waiting impression was looked at before its time");
    }
  }
  impression.features = reader.get_text();
  if (const auto count = reader.get<std::uint32_t>(); count > 0) {
    impression.applied = std::make_unique<AppliedOutcomes>();
    for (std::uint32_t i = 0; i < count; ++i) {
      impression.applied->insert(read_outcome(reader, types));
    }
  }
  if (!reader.at_end()) throw StateError("a waiting impression's state is longer than it says");
  return impression;
}

void write_outcomes(std::span<const KeptOutcome* const> outcomes, const EventTypes& types,
                    ByteWriter& writer) {
  writer.put(static_cast<std::uint32_t>(outcomes.size()));
  for (const KeptOutcome* outcome : outcomes) write_outcome(*outcome, types, writer);
}

std::vector<KeptOutcome> read_outcomes(std::string_view value, const EventTypes& types) {
  ByteReader reader(value);
  std::vector<KeptOutcome> outcomes;
  for (auto left = reader.get<std::uint32_t>(); left > 0; --left) {
    outcomes.push_back(read_outcome(reader, types));
  }
  if (!reader.at_end()) throw StateError("waiting outcomes' state is longer than it says");
  return outcomes;
}

}  // namespace millrace
