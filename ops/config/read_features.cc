#include <algorithm>
#include <map>
#include <set>

#include "ops/config/entries.h"
#include "ops/config/sections.h"

namespace millrace {
namespace {

// "a categorical feature"
std::string a_feature(FeatureKind kind) {
  return "a " + std::string(choice_name(kind)) + " feature";
}

constexpr const char* kNameForm = "is no name; expected 1 to 256 bytes without control characters";

struct Belongs {
  const char* key;
  std::vector<FeatureKind> kinds;
  bool required;
};

// Which keys of an entry belong to which types.
void check_keys(ConfigReader& reader, const std::string& key, const Feature& feature) {
  using enum FeatureKind;
  const Belongs table[] = {{"dimension", {kCategorical, kBag}, true},
                           {"table", {kCategorical, kBag}, false},
                           {"pooling", {kBag}, false},
                           {"transform", {kNumeric}, false},
                           {"standardize", {kNumeric}, false},
                           {"width", {kDense}, true}};
  for (const auto& [name, kinds, required] : table) {
    const std::string inner = key + "." + name;
    const bool fits = std::find(kinds.begin(), kinds.end(), feature.kind) != kinds.end();
    if (!fits && reader.has(inner)) {
      std::vector<std::string> names;
      names.reserve(kinds.size());
      for (const FeatureKind kind : kinds) names.emplace_back(choice_name(kind));
      reader.complain(inner, "does not belong to " + a_feature(feature.kind) +
                                 "; expected only where the type is " + join_words(names));
    }
    if (fits && required && !reader.has(inner)) {
      reader.complain_missing(inner, "a whole number above 0 for " + a_feature(feature.kind));
    }
  }
}

// Features that name the same table share its rows, so they need one dimension.
void check_tables(ConfigReader& reader, const std::vector<std::string>& keys,
                  const std::vector<Feature>& features) {
  std::map<std::string, std::size_t> first;
  for (std::size_t f = 0; f < features.size(); ++f) {
    const Feature& feature = features[f];
    if (!reader.is_good(keys[f] + ".dimension") || !reader.is_good(keys[f] + ".type")) continue;
    const auto [at, added] =
        first.try_emplace(feature.table.empty() ? feature.name : feature.table, f);
    const Feature& other = features[at->second];
    if (!added && other.dimension != feature.dimension) {
      reader.complain(keys[f] + ".dimension",
                      std::to_string(feature.dimension) + " is not the dimension of the table " +
                          at->first + ", which is " + std::to_string(other.dimension) +
                          " at feature " + other.name);
    }
  }
}

}  // namespace

void read_features(ConfigReader& reader, const ConfigNode* node, Config& config) {
  const std::string expected =
      "a list of features like {name: item_id, type: categorical, "
      "dimension: 16}";
  if (node == nullptr) return reader.complain_missing("features", expected);
  if (node->kind != ConfigNode::Kind::kList || node->items.empty()) {
    const bool empty_list = node->kind == ConfigNode::Kind::kList;
    return reader.complain(
        "features", (empty_list ? "an empty list" : node->describe()) + " is not " + expected);
  }
  std::vector<std::string> keys;
  std::set<std::string> names;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const ConfigNode& item = node->items[i];
    const ConfigNode* name = item.find("name");
    const bool named = name != nullptr && !name->text.empty();
    const bool repeated = named && !names.insert(name->text).second;
    const std::string key = "features." + (named && !repeated ? name->text : std::to_string(i));
    reader.remember(key, item.place);
    if (item.kind == ConfigNode::Kind::kNothing) {
      reader.complain(key, "nothing is not a feature");
      continue;
    }
    Feature feature;
    reader.read_fields(item, key + ".", feature, feature_fields());
    if (item.kind == ConfigNode::Kind::kMap) {
      if (name == nullptr) reader.complain_missing(key + ".name", "the feature's name");
      if (repeated) reader.complain(key + ".name", name->text + " is the name of two features");
      if (reader.is_good(key + ".name") && !is_name(feature.name)) {
        reader.complain(key + ".name", kNameForm);
      }
      if (feature.name == "id" && !feature.context) {
        reader.complain(key + ".name", "id is a candidate's own id; expected another name");
      }
      if (!reader.has(key + ".type")) {
        reader.complain_missing(key + ".type", "categorical, bag, numeric or dense");
      }
      if (reader.is_good(key + ".type")) check_keys(reader, key, feature);
      if (reader.is_good(key + ".table") && !is_name(feature.table)) {
        reader.complain(key + ".table", kNameForm);
      }
    }
    keys.push_back(key);
    config.features.push_back(std::move(feature));
  }
  check_tables(reader, keys, config.features);
}

}  // namespace millrace
