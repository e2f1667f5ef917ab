#include "ingest/sink/dead_letter_watch.h"

#include <bit>
#include <utility>

namespace millrace {

DeadLetterWatch::DeadLetterWatch(const DeadLetterGuardOptions& options)
    : options_(options), recent_(static_cast<std::size_t>(options.records + 7) / 8) {}

void DeadLetterWatch::take(bool dead) {
  if (!options_.enabled) return;
  const auto records = static_cast<std::uint64_t>(options_.records);
  const std::uint64_t place = taken_++ % records;
  std::uint8_t& byte = recent_[place / 8];
  const auto bit = static_cast<std::uint8_t>(1U << (place % 8));
  dead_ -= (byte & bit) != 0 ? 1 : 0;
  dead_ += dead ? 1 : 0;
  byte = static_cast<std::uint8_t>(dead ? byte | bit : byte & ~bit);
  changed_ = true;
  const double share = static_cast<double>(dead_) / static_cast<double>(records);
  if (!paused_) {
    paused_ = taken_ >= records && share >= options_.share;
  } else {
    paused_ = share >= options_.share / 2;
  }
}

StateChanges DeadLetterWatch::save(std::uint64_t, std::span<const Cleaning>) {
  StateChanges changes;
  if (!std::exchange(changed_, false)) return changes;
  ByteWriter writer;
  writer.put(taken_);
  writer.put(static_cast<std::uint8_t>(paused_));
  writer.put_all(recent_);
  changes.values.push_back({"recent", writer.take(), false});
  return changes;
}

void DeadLetterWatch::restore_value(std::string_view name, std::string_view bytes) {
  if (name != "recent") {
    throw StateError("the dead letters' watch has no value \"" + std::string(name) + "\"");
  }
  ByteReader reader(bytes);
  const auto taken = reader.get<std::uint64_t>();
  const bool paused = reader.get<std::uint8_t>() != 0;
  auto recent = reader.get_all<std::uint8_t>();
  if (!reader.at_end()) throw StateError("the dead letters' watch has a value of a wrong size");
  if (!options_.enabled || recent.size() != recent_.size())
    return;  // another window: it begins anew
  taken_ = taken;
  paused_ = paused;
  recent_ = std::move(recent);
  dead_ = 0;
  for (const std::uint8_t byte : recent_) dead_ += static_cast<unsigned>(std::popcount(byte));
}

void DeadLetterWatch::restore_block(std::string_view set, std::uint64_t, std::string_view) {
  throw StateError("the dead letters' watch has no set \"" + std::string(set) + "\"");
}

}  // namespace millrace
