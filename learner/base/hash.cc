#include "learner/base/hash.h"

#include <cstring>

namespace millrace {
namespace {

constexpr std::uint64_t kFirst = 0x9e3779b97f4a7c15ULL;
constexpr std::uint64_t kSecond = 0xc2b2ae3d27d4eb4fULL;

// The two halves of a 128-bit product folded together: one multiplication mixes 16 bytes.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t load(const char* at, std::size_t count) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, count);  // little-endian, as every machine that we build for
  return value;
}

}  // namespace

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t state = mix_bits(seed ^ kFirst) ^ bytes.size();
  const char* at = bytes.data() != nullptr ? bytes.data() : "";  // memcpy takes no null
  std::size_t left = bytes.size();
  for (; left > 16; at += 16, left -= 16) {
    state = fold(load(at, 8) ^ kFirst ^ state, load(at + 8, 8) ^ kSecond);
  }
  const std::uint64_t low = load(at, left < 8 ? left : 8);
  const std::uint64_t high = left > 8 ? load(at + 8, left - 8) : 0;
  return mix_bits(fold(low ^ kFirst ^ state, high ^ kSecond) ^ state);
}

}  // namespace millrace
