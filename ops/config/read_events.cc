#include <algorithm>

#include "ops/config/entries.h"
#include "ops/config/sections.h"

namespace millrace {
namespace {

void read_topic(ConfigReader& reader, const ConfigNode& node, const std::string& name,
                std::string& topic) {
  TopicEntry entry{name};
  reader.read_fields(node, "events." + name + ".", entry, TopicEntry::fields());
  topic = entry.topic;
}

void read_outcome(ConfigReader& reader, const ConfigNode& node, const std::string& name,
                  Config& config) {
  const std::string key = "events." + name;
  OutcomeEntry entry{.topic = name};
  reader.read_fields(node, key + ".", entry, OutcomeEntry::fields());
  if (!reader.has(key + ".window")) {
    reader.complain_missing(key + ".window",
                            "how long after its impression an outcome still counts, like 10m");
  }
  config.events.outcomes.push_back(
      {.name = name, .topic = entry.topic, .window = entry.window, .needs_value = false});
}

}  // namespace

void read_events(ConfigReader& reader, const ConfigNode* node, Config& config) {
  const std::string expected = "the events by name: impression and its outcomes, or sample";
  if (node == nullptr) return reader.complain_missing("events", expected);
  if (!reader.is_mapping(*node, "events")) return;
  if (node->keys.empty()) return reader.complain("events", "is empty; expected " + expected);
  config.events = {};
  for (std::size_t i = 0; i < node->keys.size(); ++i) {
    const std::string& name = node->keys[i];
    reader.remember("events." + name, node->items[i].place);
    if (name == "impression") {
      config.events.has_impressions = true;
      read_topic(reader, node->items[i], name, config.events.impression_topic);
    } else if (name == "sample") {
      read_topic(reader, node->items[i], name, config.events.sample_topic);
    } else if (!is_name(name)) {
      reader.complain("events." + name,
                      "is no name; expected 1 to 256 bytes without control characters");
    } else {
      read_outcome(reader, node->items[i], name, config);
    }
  }
  if (!config.events.outcomes.empty() && !config.events.has_impressions) {
    reader.complain_missing("events.impression", "the impressions that the outcomes belong to");
  }
}

}  // namespace millrace
