#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "ops/config/entries.h"
#include "ops/config/sections.h"
#include "ops/config/yaml_text.h"

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
  const char* expected;
};

constexpr const char* kNumberAboveZero = "a whole number above 0";

// Which keys of an entry belong to which types.
void check_keys(ConfigReader& reader, const std::string& key, const Feature& feature) {
  using enum FeatureKind;
  const Belongs table[] = {{"dimension", {kCategorical, kBag, kCross}, true, kNumberAboveZero},
                           {"table", {kCategorical, kBag, kCross}, false, ""},
                           {"pooling", {kBag}, false, ""},
                           {"transform", {kNumeric}, false, ""},
                           {"standardize", {kNumeric}, false, ""},
                           {"boundaries", {kNumeric}, false, ""},
                           {"buckets", {kNumeric}, false, ""},
                           {"range", {kNumeric}, false, ""},
                           {"width", {kDense}, true, kNumberAboveZero},
                           {"of", {kCross}, true, "the names of its parts"},
                           {"context", {kCategorical, kBag, kNumeric, kDense}, false, ""}};
  const bool bucketised =
      feature.kind == kNumeric && (reader.has(key + ".boundaries") || reader.has(key + ".buckets"));
  for (const auto& [name, kinds, required, expected] : table) {
    const std::string inner = key + "." + name;
    const std::string_view word = name;
    const bool fits = std::find(kinds.begin(), kinds.end(), feature.kind) != kinds.end() ||
                      (bucketised && (word == "dimension" || word == "table"));
    if (!fits && reader.has(inner)) {
      std::vector<std::string> names;
      names.reserve(kinds.size());
      for (const FeatureKind kind : kinds) names.emplace_back(choice_name(kind));
      const bool may_be_bucketised =
          feature.kind == kNumeric && word != "pooling" && word != "width" && word != "of";
      reader.complain(inner, "does not belong to " + a_feature(feature.kind) +
                                 "; expected only where the type is " + join_words(names) +
                                 (may_be_bucketised ? ", or with boundaries or buckets" : ""));
    }
    if (fits && required && !reader.has(inner)) {
      reader.complain_missing(inner, std::string(expected) + " for " + a_feature(feature.kind));
    }
  }
}

bool ascends(const std::vector<double>& numbers) {
  return std::adjacent_find(numbers.begin(), numbers.end(), std::greater_equal<>()) ==
         numbers.end();
}

// What makes a number a bucket: boundaries, or buckets and range.
void check_buckets(ConfigReader& reader, const std::string& key, const Feature& feature) {
  if (feature.kind != FeatureKind::kNumeric) return;
  const auto has = [&](const char* name) { return reader.has(key + "." + name); };
  const auto good = [&](const char* name) { return reader.is_good(key + "." + name); };
  if (!has("boundaries") && !has("buckets")) {
    if (has("range")) reader.complain(key + ".range", "needs buckets");
    return;
  }
  if (has("standardize")) {
    reader.complain(key + ".standardize", "does not belong to a number in buckets");
  }
  if (has("boundaries")) {
    for (const char* other : {"buckets", "range", "transform"}) {
      if (!has(other)) continue;
      reader.complain(
          key + "." + other,
          "does not go together with boundaries, which are given in the number's units");
    }
    if (!good("boundaries")) return;
    const auto most = static_cast<std::size_t>(kMostBuckets) - 1;
    if (feature.boundaries.empty() || feature.boundaries.size() > most ||
        !ascends(feature.boundaries)) {
      reader.complain(key + ".boundaries", yaml_value(feature.boundaries) +
                                               " are no boundaries; expected 1 to " +
                                               std::to_string(most) + " ascending numbers");
    }
    return;
  }
  if (!has("range")) {
    reader.complain_missing(key + ".range", "the least and the greatest number, as in [0, 100]");
  } else if (good("range") && (feature.range.size() != 2 || !ascends(feature.range))) {
    reader.complain(key + ".range", yaml_value(feature.range) +
                                        " is no range; expected two ascending numbers, as in "
                                        "[0, 100]");
  }
}

// The parts of crosses: known, of a kind with one key, each once.
void check_crosses(ConfigReader& reader, const std::vector<std::string>& keys,
                   const std::vector<Feature>& features) {
  for (std::size_t f = 0; f < features.size(); ++f) {
    const std::string key = keys[f] + ".of";
    if (features[f].kind != FeatureKind::kCross || !reader.is_good(key)) continue;
    const std::vector<std::string>& of = features[f].of;
    if (of.size() < 2 || of.size() > kMostParts) {
      reader.complain(key, yaml_value(of) + " is no cross; expected 2 to " +
                               std::to_string(kMostParts) + " features");
    }
    for (std::size_t p = 0; p < of.size(); ++p) {
      const auto part = std::find_if(features.begin(), features.end(),
                                     [&](const Feature& other) { return other.name == of[p]; });
      const auto again = std::find(of.begin(), of.begin() + static_cast<std::ptrdiff_t>(p), of[p]);
      if (part == features.end()) {
        reader.complain(key,
                        of[p] +
                            " is no feature; expected categorical features, or numeric ones with "
                            "boundaries or buckets");
      } else if (again != of.begin() + static_cast<std::ptrdiff_t>(p)) {
        reader.complain(key, of[p] + " is there twice");
      } else if (part->kind != FeatureKind::kCategorical && !is_bucketised(*part)) {
        reader.complain(key, of[p] + " is " + a_feature(part->kind) +
                                 "; expected categorical features, or numeric ones with boundaries "
                                 "or buckets");
      }
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
        reader.complain_missing(key + ".type", "categorical, bag, numeric, dense or cross");
      }
      if (reader.is_good(key + ".type")) {
        check_keys(reader, key, feature);
        check_buckets(reader, key, feature);
      }
      if (reader.is_good(key + ".table") && !is_name(feature.table)) {
        reader.complain(key + ".table", kNameForm);
      }
    }
    keys.push_back(key);
    config.features.push_back(std::move(feature));
  }
  check_tables(reader, keys, config.features);
  check_crosses(reader, keys, config.features);
}

}  // namespace millrace
