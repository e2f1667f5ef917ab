#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "learner/base/fields.h"
#include "learner/train/feedback_options.h"
#include "ops/config/yaml_text.h"

namespace millrace {

/// What kind of value a key takes, for the page and the schema.
enum class ValueForm {
  kTruth,
  kWhole,
  kNumber,
  kText,
  kDuration,
  kDurationOrOff,
  kSize,
  kWord,
  kWholes,
  kNumbers,
  kTexts,
  kNumberOrNull,
  kTextMap,
  kNumberMap,
  kWordMap,
  kFeedbackMap,
};

/// One key of a section as others must know it, without its C++ type.
struct KeyDescription {
  std::string key;  ///< Inside its section: "batch", "dense.rate".
  ValueForm form = ValueForm::kText;
  std::string meaning;
  std::string usual;  ///< The default, as YAML.
  std::optional<std::string> least, most;
  std::vector<std::string> words;          ///< Of kWord and the maps to words: those built,
  std::vector<std::string> planned_words;  ///< and those that are refused by name.
};

namespace describe {

template <class Value>
struct Form;
template <>
struct Form<bool> {
  static constexpr ValueForm form = ValueForm::kTruth;
};
template <>
struct Form<int> {
  static constexpr ValueForm form = ValueForm::kWhole;
};
template <>
struct Form<std::int64_t> {
  static constexpr ValueForm form = ValueForm::kWhole;
};
template <>
struct Form<double> {
  static constexpr ValueForm form = ValueForm::kNumber;
};
template <>
struct Form<std::string> {
  static constexpr ValueForm form = ValueForm::kText;
};
template <>
struct Form<Duration> {
  static constexpr ValueForm form = ValueForm::kDuration;
};
template <>
struct Form<std::optional<Duration>> {
  static constexpr ValueForm form = ValueForm::kDurationOrOff;
};
template <>
struct Form<ByteSize> {
  static constexpr ValueForm form = ValueForm::kSize;
};
template <>
struct Form<std::vector<int>> {
  static constexpr ValueForm form = ValueForm::kWholes;
};
template <>
struct Form<std::vector<double>> {
  static constexpr ValueForm form = ValueForm::kNumbers;
};
template <>
struct Form<std::vector<std::string>> {
  static constexpr ValueForm form = ValueForm::kTexts;
};
template <>
struct Form<std::optional<double>> {
  static constexpr ValueForm form = ValueForm::kNumberOrNull;
};
template <class E>
requires std::is_enum_v<E>
struct Form<E> {
  static constexpr ValueForm form = ValueForm::kWord;
  using Words = E;
};
template <>
struct Form<std::map<std::string, std::string>> {
  static constexpr ValueForm form = ValueForm::kTextMap;
};
template <>
struct Form<std::map<std::string, double>> {
  static constexpr ValueForm form = ValueForm::kNumberMap;
};
template <>
struct Form<std::map<std::string, FeedbackSetting>> {
  static constexpr ValueForm form = ValueForm::kFeedbackMap;
  using Words = FeedbackPolicy;
};
template <class E>
requires std::is_enum_v<E>
struct Form<std::map<std::string, E>> {
  static constexpr ValueForm form = ValueForm::kWordMap;
  using Words = E;
};

template <class Owner, class Value>
void add(const Owner& options, const Field<Owner, Value>& field, const std::string& prefix,
         std::vector<KeyDescription>& keys) {
  if constexpr (Section<Value>) {
    std::apply(
        [&](const auto&... inner) {
          (add(options.*field.member, inner, prefix + std::string(field.key) + ".", keys), ...);
        },
        Value::fields());
  } else {
    KeyDescription key;
    key.key = prefix + std::string(field.key);
    key.form = Form<Value>::form;
    key.meaning = field.meaning;
    key.usual = yaml_value(options.*field.member);
    if (field.least) key.least = yaml_value(*field.least);
    if (field.most) key.most = yaml_value(*field.most);
    if constexpr (requires { typename Form<Value>::Words; }) {
      for (const auto& choice : Choices<typename Form<Value>::Words>::all) {
        (choice.built ? key.words : key.planned_words).emplace_back(choice.name);
      }
    }
    keys.push_back(std::move(key));
  }
}

}  // namespace describe

/// The keys that `fields` (a tuple of Field) declares, inner sections flattened; defaults are those
/// of `options`.
template <class Options, class Fields>
std::vector<KeyDescription> describe_keys(const Options& options, const Fields& fields) {
  std::vector<KeyDescription> keys;
  std::apply([&](const auto&... field) { (describe::add(options, field, "", keys), ...); }, fields);
  return keys;
}

}  // namespace millrace
