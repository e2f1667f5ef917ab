#include "ingest/event/event_types.h"

#include <algorithm>

namespace millrace {

bool TypeTable::Topic::carries(RecordType type) const {
  return std::find(types.begin(), types.end(), type) != types.end();
}

TypeTable::TypeTable(const EventTypes& types) : types_(types) {
  using Kind = RecordType::Kind;
  if (types.has_impressions) add(types.impression_topic, {Kind::kImpression, -1});
  if (!types.sample_topic.empty()) add(types.sample_topic, {Kind::kSample, -1});
  for (std::size_t o = 0; o < types.outcomes.size(); ++o) {
    add(types.outcomes[o].topic, {Kind::kOutcome, static_cast<int>(o)});
  }
}

void TypeTable::add(const std::string& topic, RecordType type) {
  for (Topic& known : topics_) {
    if (known.name == topic) return known.types.push_back(type);
  }
  topics_.push_back({topic, {type}});
}

RecordType TypeTable::named(std::string_view name) const {
  using Kind = RecordType::Kind;
  if (name == "impression") return {types_.has_impressions ? Kind::kImpression : Kind::kUnknown};
  if (name == "sample") return {Kind::kSample};
  for (std::size_t o = 0; o < types_.outcomes.size(); ++o) {
    if (types_.outcomes[o].name == name) return {Kind::kOutcome, static_cast<int>(o)};
  }
  return {Kind::kUnknown};
}

const TypeTable::Topic& TypeTable::topic(std::string_view name) const {
  for (const Topic& known : topics_) {
    if (known.name == name) return known;
  }
  return unknown_;
}

}  // namespace millrace
