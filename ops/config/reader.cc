#include "ops/config/reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace millrace {
namespace {

using Kind = ConfigNode::Kind;

constexpr std::string_view kDurationForm = "a duration like 500ms, 30s, 10m, 24h or 7d";

Complaint is_not(const ConfigNode& node, std::string_view expected) {
  return node.describe() + " is not " + std::string(expected);
}

enum class NumberForm { kNone, kWhole, kWholeTooLarge, kReal };

// What a plain scalar is as a number; quoted ones are text.
NumberForm read_number(const ConfigNode& node, std::int64_t& whole, double& real) {
  if (node.kind != Kind::kScalar || node.quoted || node.text.empty()) return NumberForm::kNone;
  std::string_view text = node.text;
  if (text.front() == '+') text.remove_prefix(1);
  if (text.empty() || text.front() == '+') return NumberForm::kNone;
  if (text.find_first_of("0123456789") == std::string_view::npos) return NumberForm::kNone;  // nan
  const char* const end = text.data() + text.size();
  const auto [whole_end, whole_error] = std::from_chars(text.data(), end, whole);
  if (whole_end == end && whole_error == std::errc{}) {
    real = static_cast<double>(whole);
    return NumberForm::kWhole;
  }
  if (whole_end == end && whole_error == std::errc::result_out_of_range) {
    std::from_chars(text.data(), end, real);
    return NumberForm::kWholeTooLarge;
  }
  const auto [real_end, real_error] = std::from_chars(text.data(), end, real);
  if (real_end != end || real_error == std::errc::invalid_argument) return NumberForm::kNone;
  if (real_error == std::errc::result_out_of_range) real = HUGE_VAL;
  return NumberForm::kReal;
}

bool is_truth(const std::string& text) {
  for (const char* word : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
    if (text == word) return true;
  }
  return false;
}

template <class Whole>
Complaint read_whole(const ConfigNode& node, Whole& value) {
  std::int64_t whole = 0;
  double real = 0;
  const NumberForm form = read_number(node, whole, real);
  if (form != NumberForm::kWhole && form != NumberForm::kWholeTooLarge) {
    return is_not(node, "a whole number");
  }
  constexpr std::int64_t most = std::numeric_limits<Whole>::max();
  constexpr std::int64_t least = std::numeric_limits<Whole>::min();
  if (form == NumberForm::kWholeTooLarge || whole > most || whole < least) {
    return node.describe() + " is too large a number";
  }
  value = static_cast<Whole>(whole);
  return std::nullopt;
}

}  // namespace

Complaint read_value(const ConfigNode& node, bool& value) {
  if (node.kind != Kind::kScalar || node.quoted || !is_truth(node.text)) {
    return is_not(node, "true or false");
  }
  value = node.text.front() == 't' || node.text.front() == 'T';
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, int& value) { return read_whole(node, value); }

Complaint read_value(const ConfigNode& node, std::int64_t& value) {
  return read_whole(node, value);
}

Complaint read_value(const ConfigNode& node, double& value) {
  std::int64_t whole = 0;
  double real = 0;
  if (read_number(node, whole, real) == NumberForm::kNone) return is_not(node, "a number");
  if (!std::isfinite(real)) return is_not(node, "a finite number");
  value = real;
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, std::string& value) {
  if (node.kind != Kind::kScalar) return is_not(node, "text");
  std::int64_t whole = 0;
  double real = 0;
  if (read_number(node, whole, real) != NumberForm::kNone ||
      (!node.quoted && is_truth(node.text))) {
    return is_not(node, "text; put it in quotes if it is meant to be");
  }
  value = node.text;
  return std::nullopt;
}

Complaint read_text(const ConfigNode& node, std::string& value) {
  if (node.kind != Kind::kScalar) return is_not(node, "text or a number");
  value = node.text;
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, Duration& value) {
  const auto read = node.kind == Kind::kScalar ? parse_duration(node.text) : std::nullopt;
  if (!read) return is_not(node, kDurationForm);
  value = *read;
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, ByteSize& value) {
  const auto read = node.kind == Kind::kScalar ? parse_bytes(node.text) : std::nullopt;
  if (!read) return is_not(node, "a size like 64KiB, 256MiB or 1GiB");
  value = ByteSize{*read};
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, std::optional<Duration>& value) {
  if (node.kind == Kind::kScalar && node.text == "off") {
    value.reset();
    return std::nullopt;
  }
  Duration read{};
  if (read_value(node, read)) return is_not(node, std::string(kDurationForm) + ", or off");
  value = read;
  return std::nullopt;
}

Complaint read_value(const ConfigNode& node, std::optional<double>& value) {
  if (node.kind == Kind::kNothing) {
    value.reset();
    return std::nullopt;
  }
  double read = 0;
  if (auto complaint = read_value(node, read)) return complaint;
  value = read;
  return std::nullopt;
}

namespace {

template <class Value>
Complaint read_list(const ConfigNode& node, std::string_view expected, std::vector<Value>& value) {
  if (node.kind != Kind::kList) return is_not(node, expected);
  std::vector<Value> read;
  for (const ConfigNode& item : node.items) {
    if (auto complaint = read_value(item, read.emplace_back())) return complaint;
  }
  value = std::move(read);
  return std::nullopt;
}

}  // namespace

Complaint read_value(const ConfigNode& node, std::vector<int>& value) {
  return read_list(node, "a list of whole numbers like [64, 64]", value);
}

Complaint read_value(const ConfigNode& node, std::vector<double>& value) {
  return read_list(node, "a list of numbers like [0.5, 2]", value);
}

Complaint read_value(const ConfigNode& node, std::vector<std::string>& value) {
  return read_list(node, "a list of names like [user_id, item_id]", value);
}

Complaint read_value(const ConfigNode& node, FeedbackSetting& value) {
  FeedbackSetting read;
  if (node.kind != Kind::kMap) {
    if (auto complaint = read_value(node, read.policy)) return complaint;
    value = read;
    return std::nullopt;
  }
  if (node.find("policy") == nullptr) return "the mapping has no policy";
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& key = node.keys[i];
    Complaint complaint = "unknown key; expected policy or short_wait";
    if (key == "policy") complaint = read_value(node.items[i], read.policy);
    if (key == "short_wait") {
      Duration wait{};
      complaint = read_value(node.items[i], wait);
      read.short_wait = wait;
    }
    if (complaint) return key + ": " + *complaint;
  }
  value = read;
  return std::nullopt;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 256 && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

Complaint read_word(const ConfigNode& node, std::span<const Word> words, std::size_t& index) {
  std::vector<std::string> built;
  for (const Word& word : words) {
    if (word.built) built.emplace_back(word.name);
  }
  const std::string expected = join_words(built);
  for (std::size_t i = 0; node.kind == Kind::kScalar && i < words.size(); ++i) {
    if (words[i].name != node.text) continue;
    if (!words[i].built) {
      return node.describe() + " is not built yet; this version has " + join_words(built, "and");
    }
    index = i;
    return std::nullopt;
  }
  return node.describe() + " is not known; expected " + expected;
}

void ConfigReader::complain(const std::string& key, const std::string& text) {
  failed_.insert(key);
  problems_.push_back({place_of(key), key.empty() ? text : key + ": " + text});
}

void ConfigReader::complain_missing(const std::string& key, const std::string& expected) {
  complain(key, "is missing; expected " + expected);
}

void ConfigReader::complain_unknown(const Place& place, const std::string& prefix,
                                    const std::string& key, const std::vector<std::string>& known) {
  const std::string near = nearest_word(key, known);
  const std::string advice =
      near.empty() ? "expected " + join_words(known) : "did you mean " + near + "?";
  problems_.push_back({place, prefix + key + ": unknown key; " + advice});
}

Place ConfigReader::place_of(const std::string& key) const {
  for (std::string outer = key;;) {
    const auto at = places_.find(outer);
    if (at != places_.end()) return at->second;
    const auto dot = outer.rfind('.');
    if (outer.empty()) return {};
    outer = dot == std::string::npos ? "" : outer.substr(0, dot);
  }
}

bool ConfigReader::is_mapping(const ConfigNode& node, const std::string& key) {
  if (node.kind == Kind::kMap || node.kind == Kind::kNothing) return true;
  complain(key, node.describe() + " is not a mapping of keys to values");
  return false;
}

}  // namespace millrace
