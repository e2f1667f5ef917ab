#include "ingest/encode/json_check.h"

#include <charconv>
#include <cstdint>
#include <cstring>
#include <vector>

namespace millrace {
namespace {

bool is_digit(char c) { return '0' <= c && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if ('a' <= c && c <= 'f') return c - 'a' + 10;
  if ('A' <= c && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The 16 bits of four hexadecimal digits at `at`, or −1.
int read_hex4(const char* at, const char* end) {
  if (end - at < 4) return -1;
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_value(at[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

// The length of the well-formed UTF-8 character at `at` (Unicode 15, table 3-7), or 0.
std::size_t utf8_length(const char* at, const char* end) {
  const auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
  const auto left = end - at;
  const auto follows = [&](int i, unsigned low, unsigned high) {
    return i < left && low <= byte(i) && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (0xC2 <= first && first <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (0xE0 <= first && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (0xF0 <= first && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

// Walks one JSON text. Each read_ function moves `at` behind what it read; where it returns false,
// `at` stands at the fault.
class Walker {
 public:
  Walker(const char* at, const char* end, bool check_bytes)
      : at_(at), end_(end), check_bytes_(check_bytes) {}

  const char* at() const { return at_; }
  void skip_space() {
    while (at_ < end_ && is_space(*at_)) ++at_;
  }

  // One value with all that it holds; an explicit stack, so that depth costs memory alone.
  bool read_value() {
    closers_.clear();
    do {
      if (!read_one_value()) return false;
      if (opened_) continue;
      if (!close_and_separate()) return false;
    } while (!closers_.empty());
    return true;
  }

 private:
  // A scalar, an empty container, or the opening of another one up to its first value.
  bool read_one_value() {
    opened_ = false;
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
        return open('}');
      case '[':
        return open(']');
      case '"':
        return read_string();
      case 't':
        return read_word("true");
      case 'f':
        return read_word("false");
      case 'n':
        return read_word("null");
      default:
        return read_number();
    }
  }

  bool open(char closer) {
    ++at_;
    skip_space();
    if (at_ < end_ && *at_ == closer) {
      ++at_;
      return true;
    }
    closers_.push_back(closer);
    opened_ = true;
    return closer == ']' || read_key();
  }

  // After a value: closes what ends here, up to a comma and, in an object, the next key.
  bool close_and_separate() {
    while (!closers_.empty()) {
      skip_space();
      if (at_ == end_) return false;
      if (*at_ == ',') {
        ++at_;
        skip_space();
        return closers_.back() == ']' || read_key();
      }
      if (*at_ != closers_.back()) return false;
      ++at_;
      closers_.pop_back();
    }
    return true;
  }

  bool read_key() {
    if (at_ == end_ || *at_ != '"' || !read_string()) return false;
    skip_space();
    if (at_ == end_ || *at_ != ':') return false;
    ++at_;
    skip_space();
    return true;
  }

  bool read_word(std::string_view word) {
    if (static_cast<std::size_t>(end_ - at_) < word.size()) return false;
    if (std::memcmp(at_, word.data(), word.size()) != 0) return false;
    at_ += word.size();
    return true;
  }

  bool read_string() {
    ++at_;
    while (at_ < end_) {
      const char c = *at_;
      if (c == '"') {
        ++at_;
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\') {
        if (!read_escape()) return false;
      } else if (!check_bytes_) {
        ++at_;
      } else {
        const std::size_t length = utf8_length(at_, end_);
        if (length == 0) return false;
        at_ += length;
      }
    }
    return false;
  }

  bool read_escape() {
    if (end_ - at_ < 2) return false;
    if (at_[1] != 'u') {
      if (std::strchr("\"\\/bfnrt", at_[1]) == nullptr || at_[1] == '\0') return false;
      at_ += 2;
      return true;
    }
    const int first = read_hex4(at_ + 2, end_);
    if (first < 0 || (0xDC00 <= first && first <= 0xDFFF)) return false;
    if (first < 0xD800 || 0xDFFF < first) {
      at_ += 6;
      return true;
    }
    if (end_ - at_ < 12 || at_[6] != '\\' || at_[7] != 'u') return false;
    const int second = read_hex4(at_ + 8, end_);
    if (second < 0xDC00 || 0xDFFF < second) return false;
    at_ += 12;
    return true;
  }

  bool read_digits() {
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ < end_ && is_digit(*at_)) ++at_;
    return true;
  }

  bool read_number() {
    const char* const begin = at_;
    bool whole = true;
    if (*at_ == '-') ++at_;
    if (at_ < end_ && *at_ == '0') {
      ++at_;
    } else if (!read_digits()) {
      return false;
    }
    if (at_ < end_ && *at_ == '.') {
      whole = false;
      ++at_;
      if (!read_digits()) return false;
    }
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      whole = false;
      ++at_;
      if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!read_digits()) return false;
    }
    if (whole || is_finite(begin, at_)) return true;
    at_ = begin;
    return false;
  }

  // Of a number that keeps the grammar. A number too small for a double is 0, and fine.
  static bool is_finite(const char* begin, const char* end) {
    double value = 0;
    if (std::from_chars(begin, end, value).ec != std::errc::result_out_of_range) return true;
    // Too large or too small: the place of the first digit that is not 0 decides.
    const char* at = begin + (*begin == '-' ? 1 : 0);
    const char* point = at;
    while (point < end && is_digit(*point)) ++point;
    const char* mantissa_end = point;
    while (mantissa_end < end && *mantissa_end != 'e' && *mantissa_end != 'E') ++mantissa_end;
    while (at < mantissa_end && (*at == '0' || *at == '.')) ++at;
    if (mantissa_end == end) return at > point;
    const bool negative = mantissa_end[1] == '-';
    const char* digits = mantissa_end + (negative || mantissa_end[1] == '+' ? 2 : 1);
    std::int64_t exponent = 0;
    if (std::from_chars(digits, end, exponent).ec != std::errc{}) return negative;
    return point - at + (negative ? -exponent : exponent) <= 0;
  }

  const char* at_;
  const char* const end_;
  const bool check_bytes_;
  bool opened_ = false;
  std::vector<char> closers_;
};

}  // namespace

std::optional<std::size_t> json_fault(std::string_view text) {
  Walker walker(text.data(), text.data() + text.size(), true);
  walker.skip_space();
  const auto here = [&] { return static_cast<std::size_t>(walker.at() - text.data()); };
  if (!walker.read_value()) return here();
  walker.skip_space();
  return here() == text.size() ? std::nullopt : std::optional{here()};
}

const char* json_value_end(const char* at, const char* end) {
  Walker walker(at, end, false);
  return walker.read_value() ? walker.at() : nullptr;
}

bool surrogates_are_paired(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* at = text.data();
  while (at < end) {
    at = static_cast<const char*>(std::memchr(at, '\\', static_cast<std::size_t>(end - at)));
    if (at == nullptr) return true;
    if (end - at < 2) return true;
    if (at[1] != 'u') {
      at += 2;
      continue;
    }
    const int first = read_hex4(at + 2, end);
    if (0xDC00 <= first && first <= 0xDFFF) return false;
    if (first < 0xD800 || 0xDFFF < first) {
      at += 2;
      continue;
    }
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u') return false;
    const int second = read_hex4(at + 8, end);
    if (second < 0xDC00 || 0xDFFF < second) return false;
    at += 12;
  }
  return true;
}

}  // namespace millrace
