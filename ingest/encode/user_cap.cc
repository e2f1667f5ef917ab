#include "ingest/encode/user_cap.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr std::string_view kWindows = "windows", kCounts = "counts";
constexpr std::array<std::string_view, kStreams> kSets{"matured", "at_once"};  // by Stream

}  // namespace

void UserCap::weigh(JoinedRow& row) {
  if (options_.rows == 0 || row.user == kNoUser || !row.is_trained()) return;
  Window& window = windows_[static_cast<std::size_t>(row.stream)];
  const std::int64_t number = piece_of(row.due, options_.window);
  if (number != window.number) {
    window.users.erase_all();
    window.number = number;
  }
  if (!is_beyond(window, row.user)) return;
  ++counts_.rows;
  row.measure_weight = row.measure_weight.value_or(row.weight);
  row.weight = 0;
}

// Counts one more row of the user; whether it is beyond the cap.
bool UserCap::is_beyond(Window& window, std::uint64_t user) {
  KeyedRows& users = window.users;
  KeyedRows::Row found = users.find(user);
  if (found == KeyedRows::kNone) {
    if (users.size() >= static_cast<std::uint64_t>(options_.users)) {
      lower_all(window);
      return false;
    }
    found = users.insert(user);
    *users.values(found) = 0;
  }
  float& count = *users.values(found);
  const auto most = static_cast<float>(options_.rows);
  if (count > most) return true;
  const bool beyond = count == most;
  counts_.users += beyond ? 1 : 0;
  ++count;
  users.touch(found);
  return beyond;
}

void UserCap::lower_all(Window& window) {
  ++counts_.crowded;
  KeyedRows& users = window.users;
  users.for_each([&](KeyedRows::Row row) {
    float& count = *users.values(row);
    if (--count > 0) {
      users.touch(row);
    } else {
      users.erase(row);
    }
  });
}

std::uint64_t UserCap::bytes() const {
  std::uint64_t bytes = 0;
  for (const Window& window : windows_) bytes += window.users.bytes();
  return bytes;
}

UserCap::Counts UserCap::read_counts(std::string_view bytes) {
  ByteReader reader(bytes);
  Counts counts;
  for (std::uint64_t* count : {&counts.rows, &counts.users, &counts.crowded}) {
    *count = reader.get<std::uint64_t>();
  }
  if (!reader.at_end()) throw StateError("the user cap's counts have a wrong size");
  return counts;
}

StateChanges UserCap::save(std::uint64_t sequence, std::span<const Cleaning> cleanings) {
  StateChanges changes;
  if (options_.rows == 0 && !has_state_) return changes;  // a store without a cap has none of it
  has_state_ = true;
  ByteWriter windows, counts;
  windows.put(options_.window.count());
  for (const Window& window : windows_) windows.put(window.number);
  for (const std::uint64_t count : {counts_.rows, counts_.users, counts_.crowded}) {
    counts.put(count);
  }
  changes.values.push_back({std::string(kWindows), windows.take()});
  changes.values.push_back({std::string(kCounts), counts.take(), false});
  for (std::size_t stream = 0; stream < windows_.size(); ++stream) {
    windows_[stream].users.save(kSets[stream], sequence, cleanings, changes);
  }
  return changes;
}

void UserCap::restore_value(std::string_view name, std::string_view bytes) {
  has_state_ = true;
  if (name == kCounts) {
    counts_ = read_counts(bytes);
    return;
  }
  ByteReader reader(bytes);
  if (name == kWindows) {
    restored_window_ = Duration{reader.get<std::int64_t>()};
    for (Window& window : windows_) window.number = reader.get<std::int64_t>();
  }
  if (!reader.at_end()) {
    throw StateError("the user cap has no value \"" + std::string(name) + "\" of this form");
  }
}

void UserCap::restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) {
  const auto found = std::find(kSets.begin(), kSets.end(), set);
  if (found == kSets.end()) {
    throw StateError("the user cap has no set \"" + std::string(set) + "\"");
  }
  windows_[static_cast<std::size_t>(found - kSets.begin())].users.restore(sequence, bytes);
}

void UserCap::restored() {
  if (!has_state_ || (options_.rows > 0 && restored_window_ == options_.window)) return;
  for (Window& window : windows_) {
    window.users.erase_all();
    window.number = EventTime::before_all().ms;
  }
}

}  // namespace millrace
