#include "ops/commands/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "learner/synthetic/funnel.h"
#include "ops/commands/simulate_mmoe.h"
#include "ops/commands/with_config.h"
#include "ops/demo/event_producer.h"
#include "ops/signals.h"
#include "ops/wall_clock.h"

namespace millrace {
namespace {

struct Arguments {
  std::int64_t impressions = 0, seed = 1;
  std::string out, truth;
  ConfigArguments config;
  FunnelOptions funnel;
};

// One line for each impression: what it was likely to lead to, and what it did.
class TruthFile {
 public:
  // None is written where `path` is empty.
  explicit TruthFile(const std::string& path) : path_(path) {
    if (!path.empty()) file_.open(path, std::ios::binary | std::ios::trunc);
  }
  void write(const FunnelEvent& event) {
    if (path_.empty() || !event.truth) return;
    const FunnelTruth& t = *event.truth;
    file_ << fmt::format(R"({{"impression_id":"{}","time":{},"ctr":{},"cvr":{},"like":{},)"
                         R"("clicked":{},"converted":{},"liked":{}}})"
                         "\n",
                         event.impression_id, event.time.ms, t.ctr, t.cvr, t.like, t.clicked,
                         t.converted, t.liked);
  }
  // Says so where it could not be written.
  bool close() {
    if (path_.empty() || file_.flush()) return true;
    std::fprintf(stderr, "%s: cannot be written\n", path_.c_str());
    return false;
  }

 private:
  const std::string path_;
  std::ofstream file_;
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
  TruthFile truth(arguments.truth);
  Funnel funnel(arguments.funnel);
  Counts counts;
  FunnelEvent event;
  while (file && next(funnel, arguments.impressions, event)) {
    file << event.json << '\n';
    truth.write(event);
    ++counts[std::string(event.type)];
  }
  if (!file.flush()) {
    std::fprintf(stderr, "%s: cannot be written\n", arguments.out.c_str());
    return kExitFailed;
  }
  if (!truth.close()) return kExitFailed;
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
  TruthFile truth(arguments.truth);
  FunnelOptions options = arguments.funnel;
  options.start = wall_clock();
  Funnel funnel(options);
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
    truth.write(event);
    ++counts[std::string(event.type)];
  }
  const bool delivered = producer.flush(Duration{30'000}) && producer.failed() == 0;
  print_counts(counts);
  if (!delivered) std::fprintf(stderr, "some events could not be delivered\n");
  return truth.close() && delivered ? kExitDone : kExitFailed;
}

int simulate(Arguments& arguments) {
  arguments.funnel.seed = static_cast<std::uint64_t>(arguments.seed);
  if (arguments.funnel.missing > 1) {
    std::fprintf(stderr, "simulate funnel: --missing %g is no share; expected 0 to 1\n",
                 arguments.funnel.missing);
    return kExitUsage;
  }
  const bool shifts = arguments.funnel.click_shift != 0 || arguments.funnel.conversion_shift != 0;
  if (shifts != arguments.funnel.shift_after.has_value()) {
    std::fprintf(stderr,
                 "simulate funnel: --shift-after goes with --shift-clicks or "
                 "--shift-conversions\n");
    return kExitUsage;
  }
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
  FunnelOptions& options = arguments->funnel;
  funnel.add_option("--rate", options.impressions_per_second,
                    "Impressions per second (of event time in a file).", 0.001);
  funnel.add_option("--truth", arguments->truth,
                    "Write each impression's true probabilities to this file, and what happened.");
  funnel.add_option("--click-delay", options.click_delay,
                    "Mean time from an impression to its click (20s).", Duration{1});
  funnel.add_option("--conversion-delay", options.conversion_delay,
                    "Mean time from a click to its conversion (2h).", Duration{1});
  funnel.add_choice("--delays", options.delay_shape, "How they are spread about the mean.");
  funnel.add_option("--drift", options.drift,
                    "How long the items' quality takes for a full turn (6h).", Duration{1000});
  funnel.add_option("--conversion-swing", options.conversion_swing,
                    "How far what a genre is worth swings in logit P(conversion | click).", 0);
  funnel.add_option("--conversion-turn", options.conversion_turn,
                    "How long a full turn of that takes (18h).", Duration{1000});
  funnel.add_option("--shift-after", options.shift_after,
                    "From so long after the start on the base rates are others.", Duration{0});
  funnel.add_option("--shift-clicks", options.click_shift, "What is added to logit P(click) then.",
                    -20);
  funnel.add_option("--shift-conversions", options.conversion_shift,
                    "What is added to logit P(conversion | click) then.", -20);
  funnel.add_option("--missing", options.missing,
                    "Share of the outcomes that happen and are never heard of.", 0);
  add_config_options(funnel, arguments->config);
  funnel.run([arguments] { return simulate(*arguments); });
  add_simulate_mmoe_command(simulate_command);
}

}  // namespace millrace
