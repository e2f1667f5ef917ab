#include "ingest/encode/name_index.h"

#include <bit>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {

NameIndex::NameIndex(std::vector<std::string> names) : names_(std::move(names)) {
  slots_.assign(std::bit_ceil(2 * names_.size() + 1), -1);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    std::size_t slot = hash_bytes(names_[i]) & (slots_.size() - 1);
    for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
      MILLRACE_CHECK(names_[static_cast<std::size_t>(slots_[slot])] != names_[i]);
    }
    slots_[slot] = static_cast<int>(i);
  }
}

int NameIndex::search(std::string_view name) const {
  std::size_t slot = hash_bytes(name) & (slots_.size() - 1);
  for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    if (names_[static_cast<std::size_t>(slots_[slot])] == name) return slots_[slot];
  }
  return -1;
}

}  // namespace millrace
