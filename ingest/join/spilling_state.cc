#include "ingest/join/spilling_state.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

// Blocks that are held because they will soon be needed.
std::uint64_t read_ahead(std::uint64_t memory) { return memory / 16; }
constexpr std::uint64_t kBeyond = 32 << 20;

}  // namespace

SpillingState::SpillingState(const Schema& schema, const EventTypes& types, const Windows& windows,
                             bool keep_order, std::uint64_t memory)
    : memory_(memory),
      hot_(windows, types, static_cast<int>(schema.tasks().size())),
      outcomes_(windows, types, keep_order),
      cold_(types, static_cast<int>(schema.tasks().size()), read_ahead(memory)) {}

WaitingImpression* SpillingState::find(std::string_view id) {
  WaitingImpression* impression = hot_.find(id);
  if (impression != nullptr || cold_.size() == 0) return impression;
  auto taken = cold_.take(id);
  return taken ? &hot_.add(std::move(*taken)) : nullptr;
}

// A block is back before anything is decided that may come after one of it: they are compared in
// memory, by due time, time and id.
WaitingImpression* SpillingState::next_due(EventTime limit) {
  while (!hot_.is_deciding()) {
    const EventTime cold = cold_.earliest();
    if (!(cold < limit) || cold > hot_.earliest()) break;
    cold_.take_earliest(taken_);
    take_back();
  }
  return hot_.next_due(limit);
}

void SpillingState::take_back() {
  for (WaitingImpression& impression : taken_) hot_.add(std::move(impression));
  taken_.clear();
}

bool SpillingState::look_at(std::string_view id, const Show& show) {
  if (const WaitingImpression* impression = hot_.find(id)) {
    show(*impression, false);
    return true;
  }
  const auto impression = cold_.look_at(id);
  if (impression) show(*impression, true);
  return impression.has_value();
}

void SpillingState::prefetch(std::span<const std::string_view> ids) {
  if (cold_.size() == 0) return;
  unknown_.clear();
  for (const std::string_view id : ids) {
    if (hot_.find(id) == nullptr) unknown_.push_back(id);
  }
  cold_.fetch(unknown_);
}

std::uint64_t SpillingState::share() const {
  const std::uint64_t index = cold_.memory_bytes() - cold_.held_bytes();
  return std::max(memory_ - std::min(memory_, index), memory_ / 4);
}

JoinState::Pressure SpillingState::pressure() const {
  if (!cold_.usable()) return Pressure::kNone;
  const std::uint64_t hot = hot_.live_bytes();
  if (hot > 2 * memory_ + kBeyond) return Pressure::kStop;
  return hot > share() + share() / 8 ? Pressure::kSave : Pressure::kNone;
}

JoinSizes SpillingState::sizes() const {
  return {.in_memory = hot_.size(),
          .in_store = cold_.size(),
          .blocks = cold_.blocks(),
          .store_bytes = cold_.bytes(),
          .cold = cold_.counts()};
}

std::uint64_t SpillingState::memory_bytes() const {
  return hot_.memory_bytes() + outcomes_.memory_bytes() + cold_.memory_bytes();
}

void SpillingState::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                         StateChanges& changes) {
  if (cold_.usable()) {
    cold_.tidy(taken_);
    take_back();
    if (hot_.live_bytes() > share()) {
      hot_.evict(
          share() - share() / 8,
          [&](EventTime due, const WaitingImpression& impression, std::uint64_t hash) {
            cold_.put(due, impression, hash);
          },
          [&] { cold_.close_block(); });
    }
    cold_.save(changes);
  }
  hot_.save(sequence, cleanings, changes);
  outcomes_.save(sequence, cleanings, changes);
}

bool SpillingState::restore_value(std::string_view name, std::string_view bytes) {
  if (name != ColdImpressions::kNextNumber) return false;
  ByteReader reader(bytes);
  cold_.restore_next(reader.get<std::uint64_t>());
  if (!reader.at_end()) throw StateError("the join's \"" + std::string(name) + "\" is too long");
  return true;
}

void SpillingState::restore_block(std::string_view set, std::uint64_t sequence,
                                  std::string_view bytes) {
  if (set == "impressions") {
    hot_.restore_block(sequence, bytes);
  } else if (set == "outcomes") {
    outcomes_.restore_block(sequence, bytes);
  } else {
    throw StateError("the join has no set \"" + std::string(set) + "\"");
  }
}

void SpillingState::restore_cold(std::string_view set, std::uint64_t number,
                                 std::string_view directory, std::string_view left) {
  if (set != "impressions") {
    throw StateError("the join has no cold set \"" + std::string(set) + "\"");
  }
  cold_.restore(number, directory, left);
}

void SpillingState::restored() {
  hot_.restored();
  outcomes_.restored();
}

}  // namespace millrace
