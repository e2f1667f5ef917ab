#pragma once

#include <cstdint>
#include <string_view>

#include "learner/base/hash.h"

namespace millrace {

/// The key of an event without a user.
inline constexpr std::uint64_t kNoUser = 0;

/// The 64-bit key under which an event's user is known from decoding on. An integer is taken as its
/// text, so that 7 and "7" are one user; the empty text is nobody, so that visitors who are not
/// logged in are not taken for one person.
inline std::uint64_t user_key(std::string_view user) {
  constexpr std::uint64_t kSeed = 0x75736572;  // "user": no feature's keys are hashed with it
  if (user.empty()) return kNoUser;
  const std::uint64_t key = hash_bytes(user, kSeed);
  return key == kNoUser ? 1 : key;
}

}  // namespace millrace
