#include "ops/parity/row_names.h"

#include <cstddef>

#include "learner/base/check.h"
#include "learner/data/feature_key.h"
#include "ops/json_inner.h"

namespace millrace {
namespace {

namespace json = boost::json;

const std::string& name_of(const Schema& schema, int feature) {
  return schema.features()[static_cast<std::size_t>(feature)].name;
}

std::uint64_t seed_of(const Schema& schema, int table) {
  return schema.tables()[static_cast<std::size_t>(table)].seed;
}

// The parts' texts where the object has exactly these parts, in this order.
std::optional<std::map<int, std::string>> parts_of(const Schema& schema, const Cross& cross,
                                                   const json::object& object) {
  if (object.size() != cross.parts.size()) return std::nullopt;
  std::map<int, std::string> texts;
  auto part = cross.parts.begin();
  for (const auto& [name, text] : object) {
    if (name != name_of(schema, *part) || !text.is_string()) return std::nullopt;
    texts.emplace(*part++, text.get_string());
  }
  return texts;
}

}  // namespace

std::optional<std::string> cross_name(const Schema& schema, const Cross& cross,
                                      const std::map<int, std::string>& parts) {
  json::object object;
  for (const int part : cross.parts) {
    const auto text = parts.find(part);
    if (text == parts.end()) return std::nullopt;
    object[name_of(schema, part)] = text->second;
  }
  return json::serialize(object);
}

std::uint64_t cross_key(const Schema& schema, const Cross& cross,
                        const std::map<int, std::string>& parts) {
  CrossKey key(cross.seed);
  for (const int part : cross.parts) {
    key.add(feature_key(parts.at(part), seed_of(schema, schema.table_of(part))));
  }
  return key.key();
}

std::uint64_t key_of_name(const Schema& schema, int table, std::string_view name) {
  if (name.starts_with('{')) {
    boost::system::error_code fault;
    const json::value value = json::parse(name, fault);
    for (const Cross& cross : schema.crosses()) {
      if (fault || !value.is_object() || schema.table_of(cross.feature) != table) continue;
      const auto parts = parts_of(schema, cross, value.get_object());
      if (parts) return cross_key(schema, cross, *parts);
    }
  }
  return feature_key(name, seed_of(schema, table));
}

}  // namespace millrace
