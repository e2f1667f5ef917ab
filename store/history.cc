#include "store/history.h"

#include "learner/base/state.h"
#include "store/commit.h"
#include "store/error.h"
#include "store/keys.h"

namespace millrace {
namespace {

constexpr std::size_t kKept = 16;

}  // namespace

std::vector<StoreEvent> read_history(const Database& database) try {
  std::vector<StoreEvent> history;
  const auto bytes = database.get(Family::kMeta, keys::kHistory);
  if (!bytes) return history;
  ByteReader reader(*bytes);
  for (auto count = reader.get<std::uint32_t>(); count > 0; --count) {
    StoreEvent event;
    event.kind = static_cast<StoreEvent::Kind>(reader.get<std::uint8_t>());
    event.from = reader.get<std::uint64_t>();
    event.to = reader.get<std::uint64_t>();
    event.commit = reader.get<std::uint64_t>();
    event.time = {reader.get<std::int64_t>()};
    event.snapshot = reader.get_text();
    event.keeps_offsets = reader.get<std::uint8_t>() != 0;
    history.push_back(std::move(event));
  }
  return history;
} catch (const StateError& error) {
  throw StoreDamagedError(std::string("the store is damaged: its history: ") + error.what());
}

void add_to_history(std::vector<StoreEvent> history, StoreEvent event, WriteSet& changes) {
  put_sequence(event.commit, changes);
  history.push_back(std::move(event));
  if (history.size() > kKept) history.erase(history.begin());
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(history.size()));
  for (const StoreEvent& one : history) {
    writer.put(static_cast<std::uint8_t>(one.kind));
    writer.put(one.from);
    writer.put(one.to);
    writer.put(one.commit);
    writer.put(one.time.ms);
    writer.put_text(one.snapshot);
    writer.put(std::uint8_t{one.keeps_offsets});
  }
  changes.put(Family::kMeta, keys::kHistory, {writer.bytes()});
}

}  // namespace millrace
