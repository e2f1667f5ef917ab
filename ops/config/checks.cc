#include "ops/config/checks.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "ingest/source/kafka_properties.h"
#include "ingest/source/kafka_source.h"
#include "learner/base/time.h"
#include "learner/publish/score_formula.h"
#include "ops/config/balance_checks.h"
#include "ops/config/embedding_checks.h"
#include "ops/config/evaluate_checks.h"
#include "ops/config/feedback_checks.h"
#include "ops/config/idle_checks.h"
#include "ops/config/model_checks.h"
#include "ops/config/train_checks.h"
#include "serve/listen_address.h"

namespace millrace {
namespace {

bool is_one_of(char c, std::string_view others) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
         others.find(c) != std::string_view::npos;
}

bool is_word(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_one_of(c, "._-"); });
}

bool is_port(std::string_view text) {
  int port = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && 0 <= port && port <= 65535;
}

// "host:port", "[address]:port"
bool is_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !is_port(text.substr(colon + 1))) return false;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [&](char c) {
    return is_one_of(c, bracketed ? ".:%" : ".-_");
  });
}

void check_name(ConfigReader& reader, const Config& config) {
  if (is_word(config.name, 64) || (reader.has("name") && !reader.is_good("name"))) return;
  reader.complain("name", '"' + config.name +
                              "\" is no name; expected at most 64 letters, digits, "
                              ". _ and -");
}

void check_kafka(ConfigReader& reader, const KafkaOptions& kafka) {
  const bool word = kafka.start == "earliest" || kafka.start == "latest";
  if (!word && !parse_rfc3339(kafka.start)) {
    reader.complain("kafka.start", '"' + kafka.start +
                                       "\" is neither earliest, latest nor a time "
                                       "like 2025-11-24T16:00:40Z");
  }
  std::string_view rest = kafka.brokers;
  for (bool more = true; more;) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view broker = rest.substr(0, comma);
    more = comma < rest.size();
    rest = more ? rest.substr(comma + 1) : std::string_view{};
    while (broker.starts_with(' ')) broker.remove_prefix(1);
    if (const auto scheme = broker.find("://"); scheme != std::string_view::npos) {
      broker.remove_prefix(scheme + 3);
    }
    if (is_address(broker) || is_address(std::string(broker) + ":9092")) continue;
    reader.complain("kafka.brokers",
                    '"' + kafka.brokers + "\" is no list of addresses like 127.0.0.1:9092,b:9092");
    return;
  }
}

// Properties are judged by us where they are ours, and by librdkafka itself.
void check_properties(ConfigReader& reader, const KafkaOptions& kafka) {
  const std::string prefix = "kafka.properties.";
  bool refused = false;
  for (const auto& [property, value] : kafka.properties) {
    const auto reason = why_refused(property, value);
    if (!reason) continue;
    refused = true;
    const bool named = reason->starts_with(prefix + property + ": ");
    reader.complain(prefix + property,
                    named ? reason->substr(prefix.size() + property.size() + 2) : *reason);
  }
  if (refused || kafka.properties.empty()) return;
  KafkaSourceConfig trial;
  trial.options.properties = kafka.properties;
  const auto source = KafkaSource::make(trial);
  if (source) return;
  const std::string& message = source.error().message;
  for (const auto& [property, value] : kafka.properties) {
    const std::string key = prefix + property;
    if (message.starts_with(key + ": "))
      return reader.complain(key, message.substr(key.size() + 2));
  }
  reader.complain("kafka.properties", message);
}

void check_topic(ConfigReader& reader, const std::string& key, const std::string& topic) {
  if (is_word(topic, 249) && topic != "." && topic != "..") return;
  reader.complain(key,
                  '"' + topic + "\" is no topic; expected 1 to 249 letters, digits, . _ and -");
}

void check_topics(ConfigReader& reader, const Config& config) {
  const EventTypes& events = config.events;
  std::vector<std::pair<std::string, std::string>> topics;
  if (events.has_impressions) topics.emplace_back("impression", events.impression_topic);
  if (!events.sample_topic.empty()) topics.emplace_back("sample", events.sample_topic);
  for (const OutcomeType& outcome : events.outcomes)
    topics.emplace_back(outcome.name, outcome.topic);
  for (const auto& [name, topic] : topics) {
    check_topic(reader, "events." + name + ".topic", topic);
    if (topic == config.dead_letters.topic) {
      reader.complain("dead_letters.topic", topic + " is also the topic of the event " + name +
                                                "; expected one of its own");
    }
  }
  check_topic(reader, "dead_letters.topic", config.dead_letters.topic);
}

void check_layers(ConfigReader& reader, const std::string& key, const std::vector<int>& layers,
                  bool may_be_empty) {
  constexpr int kMostUnits = 8192;
  constexpr std::size_t kMostLayers = 16;
  if (layers.empty() && !may_be_empty) {
    reader.complain(key, "[] has no layer; expected at least one");
  }
  if (layers.size() > kMostLayers) {
    reader.complain(key, std::to_string(layers.size()) + " layers are more than " +
                             std::to_string(kMostLayers));
  }
  for (const int units : layers) {
    if (1 <= units && units <= kMostUnits) continue;
    reader.complain(key, print_value(layers) + " has a layer of " + std::to_string(units) +
                             " units; expected 1 to " + std::to_string(kMostUnits));
    return;
  }
}

void check_score(ConfigReader& reader, Config& config) {
  if (reader.has("score") && !reader.is_good("score")) return;
  if (config.tasks.empty()) return;
  if (!reader.has("score")) config.score = config.tasks.front().name;
  std::vector<std::string> names;
  for (const Task& task : config.tasks) names.push_back(task.name);
  if (const auto formula = ScoreFormula::parse(config.score, names); !formula) {
    reader.complain("score", '"' + config.score + "\": " + formula.error().message);
  }
}

// What is set, and changes nothing or too much.
void check_effects(const ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  if (config.join.max_skew > config.join.allowed_lateness) {
    const std::string key = reader.has("join.max_skew") ? "join.max_skew" : "join.allowed_lateness";
    doubts.push_back({reader.place_of(key),
                      "join.max_skew: " + print_value(config.join.max_skew) +
                          " is above join.allowed_lateness (" +
                          print_value(config.join.allowed_lateness) +
                          "): one event from a clock that runs ahead can make others late"});
  }
}

}  // namespace

void check_config(ConfigReader& reader, Config& config, std::vector<Problem>& doubts) {
  check_name(reader, config);
  check_kafka(reader, config.kafka);
  check_properties(reader, config.kafka);
  check_topics(reader, config);
  const ModelOptions& model = config.learner.model;
  check_layers(reader, "model.expert_layers", model.expert_layers, false);
  check_layers(reader, "model.gate_layers", model.gate_layers, true);
  check_layers(reader, "model.tower_layers", model.tower_layers, true);
  check_layers(reader, "train.feedback.layers", config.learner.train.feedback.layers, true);
  check_model(reader, model, doubts);
  check_balance(reader, config, doubts);
  check_embeddings(reader, config);
  check_feedback(reader, config, doubts);
  check_sampling(reader, config, doubts);
  check_optimizers(reader, config, doubts);
  check_labels(reader, config);
  check_score(reader, config);
  check_evaluate(reader, config, doubts);
  check_idle(reader, config, doubts);
  if (config.store.path.empty()) reader.complain("store.path", "is empty; expected a folder");
  const std::string listen = "serve.listen";
  const bool read = !reader.has(listen) || reader.is_good(listen);
  if (const auto address = parse_listen_address(config.serve.listen); !address && read) {
    const std::string& message = address.error().message;
    const bool named = message.starts_with(listen + ": ");
    reader.complain(listen, named ? message.substr(listen.size() + 2) : message);
  }
  check_effects(reader, config, doubts);
}

}  // namespace millrace
