#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Where something of a configuration was written: a line of a file, or an override.
struct Place {
  std::string source;  ///< The file's name, "--set", or the variable of the environment.
  int line = 0;        ///< From 1; 0 for an override.

  /// "millrace.yaml:12", or the override's origin.
  std::string text() const;
};

/// What was wrong or doubtful at one place.
struct Problem {
  Place place;
  std::string text;
};

/// A configuration as it was written: a tree of mappings, lists and scalars that know their places.
struct ConfigNode {
  enum class Kind { kNothing, kScalar, kList, kMap };

  Kind kind = Kind::kNothing;
  Place place;                    ///< Of a mapping's value: where its key stands.
  std::string text;               ///< Of a scalar, without its quotes.
  bool quoted = false;            ///< A quoted scalar is text, whatever it looks like.
  std::vector<std::string> keys;  ///< Of a mapping, parallel to `items`.
  std::vector<ConfigNode> items;  ///< Of a mapping or a list.

  /// Null where this is no mapping or has no such key.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);
  /// What stands here, for messages: `256`, `"text"`, `nothing`, `a list`, `a mapping`.
  std::string describe() const;
};

/// Parses one YAML document; `source` names it in places.
/// Nothing comes back where it is no YAML (one problem then); other problems (duplicate keys, keys
/// that are no words) leave a usable tree. Refuses what is not UTF-8, control characters, a second
/// document, and aliases that unfold to more than 100,000 nodes or 64 levels.
std::optional<ConfigNode> parse_document(const std::string& text, const std::string& source,
                                         std::vector<Problem>& problems);

/// The same for the value of an override: every place is the override's origin.
std::optional<ConfigNode> parse_override(const std::string& text, const std::string& origin,
                                         std::vector<Problem>& problems);

}  // namespace millrace
