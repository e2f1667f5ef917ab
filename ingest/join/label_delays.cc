#include "ingest/join/label_delays.h"

#include <numeric>

namespace millrace {

std::uint64_t LabelDelays::Of::applied() const {
  return std::accumulate(within.begin(), within.end(), std::uint64_t{0});
}

double LabelDelays::Of::share(int part) const {
  const std::uint64_t all = applied();
  if (all == 0) return 0;
  const auto until = std::accumulate(within.begin(), within.begin() + part + 1, std::uint64_t{0});
  return static_cast<double>(until) / static_cast<double>(all);
}

LabelDelays::LabelDelays(const EventTypes& types) {
  for (const OutcomeType& outcome : types.outcomes) of_.push_back({outcome.name, {}, 0});
}

void LabelDelays::applied(int type, Duration delay, Duration window) {
  int part = kParts - 1;
  // Halves of the window, as long as the delay is within the next smaller one.
  for (; part > 0 && delay * (std::int64_t{1} << (kParts - part)) <= window; --part) {
  }
  ++of_[static_cast<std::size_t>(type)].within[static_cast<std::size_t>(part)];
}

void LabelDelays::save(ByteWriter& writer) const {
  writer.put(static_cast<std::uint32_t>(of_.size()));
  for (const Of& of : of_) {
    writer.put_text(of.name);
    for (const std::uint64_t count : of.within) writer.put(count);
    writer.put(of.out_of_window);
  }
}

std::vector<LabelDelays::Of> LabelDelays::read(ByteReader& reader) {
  std::vector<Of> all;
  for (auto left = reader.get<std::uint32_t>(); left > 0; --left) {
    Of& of = all.emplace_back();
    of.name = reader.get_text();
    for (std::uint64_t& count : of.within) count = reader.get<std::uint64_t>();
    of.out_of_window = reader.get<std::uint64_t>();
  }
  return all;
}

void LabelDelays::restore(ByteReader& reader) {
  for (Of& saved : read(reader)) {
    for (Of& of : of_) {
      if (of.name == saved.name) of = saved;
    }
  }
}

std::string label_delay_part(int part) {
  const int divisor = 1 << (LabelDelays::kParts - 1 - part);
  return divisor == 1 ? "1" : "1/" + std::to_string(divisor);
}

}  // namespace millrace
