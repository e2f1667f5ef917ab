#include "learner/base/json_text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace millrace {
namespace {

template <class Number>
void append_digits(std::string& out, Number value) {
  std::array<char, 32> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (std::isfinite(value)) {
    append_digits(out, value);
  } else {
    out += "null";
  }
}

void append_json_number(std::string& out, float value) {
  if (std::isfinite(value)) {
    append_digits(out, value);
  } else {
    out += "null";
  }
}

void append_json_number(std::string& out, std::uint64_t value) { append_digits(out, value); }

}  // namespace millrace
