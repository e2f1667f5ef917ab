#include "ops/config/yaml_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "ops/config/reader.h"

namespace millrace {
namespace {

// Letters, and marks that mean nothing to YAML inside a word of a flow mapping.
bool is_plain(std::string_view text) {
  const auto letter = [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || c == '_' || c == '/';
  };
  const auto inner = [&](char c) {
    return letter(c) || ('0' <= c && c <= '9') || c == '.' || c == '-' || c == '+';
  };
  if (text.empty() || !(letter(text.front()) || text.front() == '.')) return false;
  if (!std::all_of(text.begin(), text.end(), inner)) return false;
  for (const char* taken : {"null", "Null", "NULL", "off"}) {
    if (text == taken) return false;
  }
  // What would be read as a number or a truth is text only in quotes.
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.text = text;
  std::string read;
  return !read_value(node, read);
}

}  // namespace

std::string yaml_text(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned>(byte));
      quoted += escape.data();
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string yaml_number(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

}  // namespace millrace
