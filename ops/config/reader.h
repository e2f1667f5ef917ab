#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "learner/base/fields.h"
#include "learner/train/feedback_options.h"
#include "ops/config/document.h"
#include "ops/config/suggest.h"
#include "ops/config/yaml_text.h"

namespace millrace {

/// What is wrong with a value, without its key: `many is not a whole number`. Nothing: it was read.
using Complaint = std::optional<std::string>;

/// Each reads one value of the configuration into `value`, which stays as it was on a complaint.
Complaint read_value(const ConfigNode& node, bool& value);
Complaint read_value(const ConfigNode& node, int& value);
Complaint read_value(const ConfigNode& node, std::int64_t& value);
Complaint read_value(const ConfigNode& node, double& value);       ///< Finite.
Complaint read_value(const ConfigNode& node, std::string& value);  ///< Text; no number or truth.
Complaint read_value(const ConfigNode& node, Duration& value);     ///< "500ms"
Complaint read_value(const ConfigNode& node, ByteSize& value);     ///< "64KiB"
Complaint read_value(const ConfigNode& node, std::optional<Duration>& value);  ///< Or "off".
Complaint read_value(const ConfigNode& node, std::optional<double>& value);    ///< Or null.
Complaint read_value(const ConfigNode& node, std::vector<int>& value);
Complaint read_value(const ConfigNode& node, std::vector<double>& value);       ///< Finite.
Complaint read_value(const ConfigNode& node, std::vector<std::string>& value);  ///< Of texts.
/// The policy's name, or a mapping of `policy` and `short_wait`.
Complaint read_value(const ConfigNode& node, FeedbackSetting& value);
/// Any scalar as its text: what is passed on to others.
Complaint read_text(const ConfigNode& node, std::string& value);

/// Whether a name may stand in messages, metrics and answers: not empty, at most 256 bytes, no
/// control characters.
bool is_name(std::string_view text);

/// One word of an enumeration, and whether this version builds it.
struct Word {
  std::string_view name;
  bool built;
};
/// The index of the word that stands in `node`. Unknown words are answered with the known ones,
/// those that are not built are refused by name.
Complaint read_word(const ConfigNode& node, std::span<const Word> words, std::size_t& index);

template <class E>
requires std::is_enum_v<E> Complaint read_value(const ConfigNode& node, E& value) {
  std::vector<Word> words;
  words.reserve(Choices<E>::all.size());
  for (const auto& choice : Choices<E>::all) words.push_back({choice.name, choice.built});
  std::size_t index = 0;
  if (auto complaint = read_word(node, words, index)) return complaint;
  value = Choices<E>::all[index].value;
  return std::nullopt;
}

/// Fills option structs from the written tree, remembers where each key stood, and collects what is
/// wrong. Threads: one.
class ConfigReader {
 public:
  explicit ConfigReader(std::vector<Problem>& problems) : problems_(problems) {}

  /// Reads the mapping `node` into the members of `object` that `fields` (a tuple of Field) names.
  /// Complains about keys that are none, wrong types, and limits; `prefix` is "" or ends in '.'.
  template <class Object, class Fields>
  void read_fields(const ConfigNode& node, const std::string& prefix, Object& object,
                   const Fields& fields);

  /// Complains at the place of `key`, or of the nearest key that encloses it.
  void complain(const std::string& key, const std::string& text);
  /// Complains about a key that must be there and is not.
  void complain_missing(const std::string& key, const std::string& expected);
  void complain_unknown(const Place& place, const std::string& prefix, const std::string& key,
                        const std::vector<std::string>& known);

  /// Whether the key was written.
  bool has(const std::string& key) const { return places_.contains(key); }
  /// Whether the key was written and nothing was wrong with it so far.
  bool is_good(const std::string& key) const { return has(key) && !failed_.contains(key); }
  void remember(const std::string& key, const Place& place) { places_.insert({key, place}); }
  Place place_of(const std::string& key) const;

  /// A mapping, or nothing at all; complains about anything else.
  bool is_mapping(const ConfigNode& node, const std::string& key);

 private:
  template <class Owner, class Value>
  void read_field(const ConfigNode& node, const std::string& key, const Field<Owner, Value>& field,
                  Owner& object);
  template <class Value>
  void read_map(const ConfigNode& node, const std::string& key,
                std::map<std::string, Value>& values);

  std::vector<Problem>& problems_;
  std::map<std::string, Place> places_;
  std::set<std::string> failed_;
};

template <class Value>
void ConfigReader::read_map(const ConfigNode& node, const std::string& key,
                            std::map<std::string, Value>& values) {
  if (!is_mapping(node, key)) return;
  values.clear();
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const std::string inner = key + "." + node.keys[i];
    remember(inner, node.items[i].place);
    Value value{};
    Complaint complaint;
    if constexpr (std::is_same_v<Value, std::string>) {
      complaint = read_text(node.items[i], value);
    } else {
      complaint = read_value(node.items[i], value);
    }
    if (complaint) {
      complain(inner, *complaint);
    } else {
      values[node.keys[i]] = std::move(value);
    }
  }
}

template <class T>
inline constexpr bool is_string_map = false;
template <class T>
inline constexpr bool is_string_map<std::map<std::string, T>> = true;

template <class Owner, class Value>
void ConfigReader::read_field(const ConfigNode& node, const std::string& key,
                              const Field<Owner, Value>& field, Owner& object) {
  Value& value = object.*field.member;
  if constexpr (Section<Value>) {
    read_fields(node, key + ".", value, Value::fields());
  } else if constexpr (is_string_map<Value>) {
    read_map(node, key, value);
  } else {
    if (auto complaint = read_value(node, value)) return complain(key, *complaint);
    if constexpr (!std::is_enum_v<Value> && requires { print_value(value); }) {
      const auto print = [](const Value& one) {
        if constexpr (std::is_same_v<Value, double>)
          return yaml_number(one);  // with all its digits
        if constexpr (!std::is_same_v<Value, double>) return print_value(one);
      };
      auto outside = [&](std::string_view relation, const Value& limit) {
        complain(key, print(value) + " is " + std::string(relation) + " " + print(limit));
      };
      if (is_off(value)) return;
      if (field.least && value < *field.least) outside("less than", *field.least);
      if (field.most && *field.most < value) outside("more than", *field.most);
    }
  }
}

template <class Object, class Fields>
void ConfigReader::read_fields(const ConfigNode& node, const std::string& prefix, Object& object,
                               const Fields& fields) {
  if (!is_mapping(node, prefix.empty() ? "" : prefix.substr(0, prefix.size() - 1))) return;
  std::vector<std::string> known;
  std::apply([&](const auto&... field) { (known.emplace_back(field.key), ...); }, fields);
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& key = node.keys[i];
    bool found = false;
    auto try_field = [&](const auto& field) {
      if (field.key != key) return;
      found = true;
      remember(prefix + key, node.items[i].place);
      read_field(node.items[i], prefix + key, field, object);
    };
    std::apply([&](const auto&... field) { (try_field(field), ...); }, fields);
    if (!found) complain_unknown(node.items[i].place, prefix, key, known);
  }
}

}  // namespace millrace
