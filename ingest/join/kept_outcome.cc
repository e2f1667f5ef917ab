#include "ingest/join/kept_outcome.h"

#include <tuple>

namespace millrace {

std::size_t KeptOutcome::heap_bytes() const {
  constexpr std::size_t kInside = sizeof(std::string) / 2;  // short texts live in the string itself
  return event_id && event_id->capacity() >= kInside ? event_id->capacity() + 1 : 0;
}

bool ByIdentity::operator()(const KeptOutcome& a, const KeptOutcome& b) const {
  if (a.type != b.type) return a.type < b.type;
  if (a.event_id || b.event_id) return a.event_id < b.event_id;
  return std::tie(a.time, a.value) < std::tie(b.time, b.value);
}

}  // namespace millrace
