#include "ops/commands/simulate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "learner/synthetic/funnel.h"
#include "ops/commands/with_config.h"
#include "ops/demo/event_producer.h"
#include "ops/signals.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

struct Arguments {
  std::int64_t impressions = 0, seed = 1;
  std::string out;
  ConfigArguments config;
  double rate = 100;
};

using Counts = std::map<std::string, std::uint64_t>;

void print_counts(const Counts& counts) {
  std::uint64_t events = 0;
  for (const auto& [type, count] : counts) events += count;
  std::printf("%llu events", static_cast<unsigned long long>(events));
  for (const auto& [type, count] : counts) {
    std::printf(", %s %llu", type.c_str(), static_cast<unsigned long long>(count));
  }
  std::printf("\n");
}

// The next event, until `impressions` and everything that followed them are out.
bool next(Funnel& funnel, std::int64_t impressions, FunnelEvent& event) {
  if (funnel.impressions() >= static_cast<std::uint64_t>(impressions)) funnel.stop();
  if (funnel.finished()) return false;
  event = funnel.next();
  return true;
}

int to_file(const Arguments& arguments) {
  std::ofstream file(arguments.out, std::ios::binary | std::ios::trunc);
  Funnel funnel({.seed = static_cast<std::uint64_t>(arguments.seed),
                 .impressions_per_second = arguments.rate});
  Counts counts;
  FunnelEvent event;
  while (file && next(funnel, arguments.impressions, event)) {
    file << event.json << '\n';
    ++counts[std::string(event.type)];
  }
  if (!file.flush()) {
    std::fprintf(stderr, "%s: cannot be written\n", arguments.out.c_str());
    return kExitFailed;
  }
  print_counts(counts);
  return kExitDone;
}

// The topic that the configuration gives to each type; types that it does not know stay out.
std::map<std::string, std::string> topics_of(const EventTypes& events) {
  std::map<std::string, std::string> topics;
  if (events.has_impressions) topics["impression"] = events.impression_topic;
  for (const OutcomeType& outcome : events.outcomes) topics[outcome.name] = outcome.topic;
  return topics;
}

// Events as they happen: each is stamped with the clock's time and sent when it has come.
int to_kafka(const Arguments& arguments, const Config& config) {
  const std::map<std::string, std::string> topics = topics_of(config.events);
  EventProducer producer(config.kafka.brokers, config.kafka.properties);
  Funnel funnel({.seed = static_cast<std::uint64_t>(arguments.seed),
                 .start = wall_clock(),
                 .impressions_per_second = arguments.rate});
  const std::atomic<bool>& stop = stop_on_signals();
  Counts counts;
  FunnelEvent event;
  while (!stop && next(funnel, arguments.impressions, event)) {
    while (!stop && wall_clock() < event.time) {
      std::this_thread::sleep_for(std::min(event.time - wall_clock(), Duration{50}));
    }
    const auto topic = topics.find(std::string(event.type));
    if (topic == topics.end() || stop) continue;
    producer.send(topic->second, event.impression_id, event.json);
    ++counts[std::string(event.type)];
  }
  const bool delivered = producer.flush(Duration{30'000}) && producer.failed() == 0;
  print_counts(counts);
  if (!delivered) std::fprintf(stderr, "some events could not be delivered\n");
  return delivered ? kExitDone : kExitFailed;
}

int simulate(const Arguments& arguments) {
  const bool file = !arguments.out.empty(), kafka = !arguments.config.path.empty();
  if (file == kafka) {
    std::fprintf(stderr, "simulate funnel: give either --out FILE or --config FILE\n");
    return kExitUsage;
  }
  if (file) return to_file(arguments);
  return with_config(arguments.config, [&](const LoadedConfig& loaded) {
    return to_kafka(arguments, loaded.config);
  });
}

}  // namespace

void add_simulate_command(Command& program) {
  Command& simulate_command =
      program.add_command("simulate", "Events of simulated users, with known probabilities.");
  auto arguments = std::make_shared<Arguments>();
  Command& funnel = simulate_command.add_command(
      "funnel", "Impressions, and the clicks, dwell times, likes and conversions that follow.");
  funnel.add_option("--impressions", arguments->impressions, "How many impressions.", 1,
                    Command::kRequired);
  funnel.add_option("--seed", arguments->seed, "Another seed, other events.", 0);
  funnel.add_option("--out", arguments->out, "Write them to this file, one JSON object a line.");
  funnel.add_option("--rate", arguments->rate, "Impressions per second (of event time in a file).",
                    0.001);
  add_config_options(funnel, arguments->config);
  funnel.run([arguments] { return simulate(*arguments); });
  simulate_command.refuse_command("mmoe");
}

}  // namespace millrace
