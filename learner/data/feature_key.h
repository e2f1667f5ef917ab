#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "learner/base/hash.h"
#include "learner/data/batch.h"

namespace millrace {

/// The key of a categorical value's text in a table of this seed; never kMissingKey.
inline std::uint64_t feature_key(std::string_view text, std::uint64_t table_seed) {
  const std::uint64_t key = hash_bytes(text, table_seed);
  return key == kMissingKey ? 1 : key;
}

/// The key of the field `slice` of an event; never kMissingKey.
inline std::uint64_t slice_key(std::string_view slice) {
  constexpr std::uint64_t kSeed = 0x736c696365;
  return feature_key(slice, kSeed);
}

/// A key as reports and answers show it: 16 hexadecimal digits. Of the value itself nothing is
/// kept.
inline std::string print_key(std::uint64_t key) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(key));
  return text;
}

}  // namespace millrace
