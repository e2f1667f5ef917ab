#include "ops/config/overlay.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace millrace {
namespace {

// A section whose keys contain dots themselves.
constexpr std::string_view kDottedSection = "kafka.properties.";

std::vector<std::string> split_path(std::string_view key) {
  std::vector<std::string> parts;
  std::string tail;
  if (key.starts_with(kDottedSection) && key.size() > kDottedSection.size()) {
    tail = key.substr(kDottedSection.size());
    key = kDottedSection.substr(0, kDottedSection.size() - 1);
  }
  for (std::size_t from = 0; from <= key.size();) {
    const std::size_t dot = std::min(key.find('.', from), key.size());
    parts.emplace_back(key.substr(from, dot - from));
    from = dot + 1;
  }
  if (!tail.empty()) parts.push_back(tail);
  return parts;
}

// The entry of a list that a part of a path means: by its number, or by its name.
ConfigNode* find_entry(ConfigNode& list, const std::string& part) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error == std::errc{} && end == part.data() + part.size()) {
    return index < list.items.size() ? &list.items[index] : nullptr;
  }
  for (ConfigNode& item : list.items) {
    const ConfigNode* name = item.find("name");
    if (name != nullptr && name->text == part) return &item;
  }
  return nullptr;
}

void apply(ConfigNode& root, const ConfigOverride& change, std::vector<Problem>& problems) {
  const Place place{change.origin, 0};
  const auto complain = [&](const std::string& text) {
    problems.push_back({place, change.key + ": " + text});
  };
  const std::size_t before = problems.size();
  auto value = parse_override(change.value, change.origin, problems);
  for (std::size_t i = before; i < problems.size(); ++i) {
    problems[i].text = change.key + ": " + problems[i].text;
  }
  if (!value) return;

  ConfigNode* at = &root;
  for (const std::string& part : split_path(change.key)) {
    if (part.empty()) return complain("is no path like section.key");
    if (at->kind == ConfigNode::Kind::kNothing) at->kind = ConfigNode::Kind::kMap;
    if (at->kind == ConfigNode::Kind::kScalar) return complain("leads through a plain value");
    if (at->kind == ConfigNode::Kind::kList) {
      at = find_entry(*at, part);
      if (at == nullptr) return complain("there is no entry " + part + " in the list");
    } else {
      ConfigNode* inner = at->find(part);
      if (inner == nullptr) {
        at->keys.push_back(part);
        inner = &at->items.emplace_back();
        inner->place = place;
      }
      at = inner;
    }
  }
  *at = std::move(*value);
  at->place = place;
}

}  // namespace

void apply_overrides(ConfigNode& root, const std::vector<ConfigOverride>& overrides,
                     std::vector<Problem>& problems) {
  for (const ConfigOverride& change : overrides) apply(root, change, problems);
}

std::vector<ConfigOverride> overrides_from_environment(char** environment) {
  constexpr std::string_view kPrefix = "MILLRACE_";
  std::vector<ConfigOverride> overrides;
  for (char** entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string_view variable = text.substr(0, equals);
    std::string key;
    for (std::size_t i = kPrefix.size(); i < variable.size(); ++i) {
      const bool separator = variable.substr(i).starts_with("__");
      key += separator ? '.'
                       : static_cast<char>(std::tolower(static_cast<unsigned char>(variable[i])));
      if (separator) ++i;
    }
    // Other variables may begin like ours; a section and a key make one of the configuration.
    const bool is_key = key.find('.') != std::string::npos || key == "name" || key == "score";
    if (!is_key) continue;
    overrides.push_back({key, std::string(text.substr(equals + 1)), std::string(variable)});
  }
  std::sort(overrides.begin(), overrides.end(),
            [](const auto& a, const auto& b) { return a.origin < b.origin; });
  return overrides;
}

}  // namespace millrace
