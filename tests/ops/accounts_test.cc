// What became of every event and row is told in three places: by `inspect`, by the report of
// `replay` and at /metrics. They say the same of the same commit, and it adds up.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "learner/synthetic/funnel.h"
#include "ops/config/load.h"
#include "ops/engine/engine.h"
#include "ops/inspection.h"
#include "ops/metrics/export.h"
#include "ops/report.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr int kImpressions = 4000;
constexpr EventTime kNow{1'764'100'000'000};  // after all events

// Clicks alone are known, so that the funnel's other outcomes are dead letters. Half of the rows
// are shed, most negatives of what is left are left out, and a user may have one row an hour.
Config configuration(const std::string& store) {
  const auto loaded = load_config_text(
      "name: shop\n"
      "events:\n"
      "  impression:\n"
      "  click: {window: 1m}\n"
      "features:\n"
      "  - {name: item_id, type: categorical, dimension: 4}\n"
      "tasks:\n"
      "  - {name: ctr, label: click}\n"
      "train: {shed: 0.5, negative_sampling: {rate: 0.2}}\n"
      "guardrails: {user_cap: {rows: 1, window: 1h}}\n"
      "store: {path: " +
          store + ", free_space: 0}\n",
      "f", {});
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded->config;
}

// The funnel's events with some twice and some far too late; how many lines.
std::uint64_t write_events(const std::string& path) {
  std::ofstream file(path);
  Funnel funnel({.seed = 5, .impressions_per_second = 5});
  std::uint64_t lines = 0;
  std::string first;
  while (funnel.impressions() < kImpressions) {
    const FunnelEvent event = funnel.next();
    file << event.json << '\n';
    ++lines;
    if (first.empty()) first = event.json;
    if (lines % 50 == 0) file << event.json << '\n', ++lines;
    if (lines % 301 == 0) file << first << '\n', ++lines;
  }
  file << "{}\n";
  return lines + 1;
}

// "name{labels}" → value.
std::map<std::string, std::uint64_t> read_metrics(const std::string& text) {
  std::map<std::string, std::uint64_t> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    const std::size_t space = line.rfind(' ');
    values[line.substr(0, space)] = static_cast<std::uint64_t>(std::stod(line.substr(space + 1)));
  }
  return values;
}

struct Told {
  json::object inspected, reported;
  std::map<std::string, std::uint64_t> metrics;

  std::uint64_t number(const std::string& object, const std::string& key) const {
    return reported.at(object).at(key).to_number<std::uint64_t>();
  }
};

// Takes everything and tells it three times.
Told tell(const std::string& events, std::uint64_t lines, const std::string& store) {
  EngineOptions options;
  options.config = configuration(store);
  const Schema schema = options.config.schema();
  ServingModel serving(schema);
  options.live = true;
  options.serving = &serving;
  options.files = {events};
  options.clock = [] { return kNow; };
  options.log = [](std::string_view, const std::string&) {};
  auto made = Engine::make(std::move(options));
  EXPECT_TRUE(made) << made.error().message;
  Engine& engine = **made;
  engine.open();
  engine.connect();
  engine.run([&] { return engine.pipeline().events == lines; }, {});
  engine.finish();
  Told told;
  told.metrics = read_metrics(export_engine(engine, 0, kNow));
  told.inspected = json::parse(to_json(inspect(engine.store()))).as_object();
  const CommittedCounts counts = engine.status().committed;
  told.reported = json::parse(replay_report({.counts = counts,
                                             .trainers = *engine.reports(),
                                             .stages = engine.stages(),
                                             .seconds = 1,
                                             .digest = engine.store().digest()}))
                      .as_object();
  return told;
}

TEST(Accounts, AreTheSameInInspectInTheReportAndInTheMetrics) {
  const TempFolder folder;
  const std::uint64_t lines = write_events(folder / "events.jsonl");
  const Told told = tell(folder / "events.jsonl", lines, folder / "store");

  for (const char* part : {"events", "dead_letters", "impressions", "outcomes", "samples", "rows",
                           "dropped_rows", "capped", "label_delays"}) {
    EXPECT_EQ(told.inspected.at(part), told.reported.at(part)) << part;
  }
  const auto metric = [&](const std::string& name) {
    const auto at = told.metrics.find(name);
    EXPECT_NE(at, told.metrics.end()) << name;
    return at == told.metrics.end() ? 0 : at->second;
  };
  for (const auto& [reason, count] : told.reported.at("dead_letters").as_object()) {
    EXPECT_EQ(metric("millrace_dead_letters_total{reason=\"" + std::string(reason) + "\"}"), count);
  }
  for (const auto& [reason, count] : told.reported.at("dropped_rows").as_object()) {
    EXPECT_EQ(metric("millrace_rows_dropped_total{reason=\"" + std::string(reason) + "\"}"), count);
  }
  for (const auto& [what, count] : told.reported.at("capped").as_object()) {
    EXPECT_EQ(metric("millrace_user_cap_" + std::string(what) + "_total"), count);
  }
  for (const std::string kind : {"impression", "outcome"}) {
    for (const auto& [result, count] : told.reported.at(kind + "s").as_object()) {
      if (result == "in") continue;  // their sum
      const std::string name = result == "waiting"
                                   ? "millrace_waiting{kind=\"" + kind + "s\"}"
                                   : "millrace_events_total{type=\"" + kind + "\",result=\"" +
                                         std::string(result) + "\"}";
      EXPECT_EQ(metric(name), count) << name;
    }
  }
  EXPECT_EQ(metric("millrace_rows_total"), told.reported.at("rows"));
  EXPECT_EQ(metric("millrace_events_taken_total"), told.reported.at("events"));

  // Every way to go was gone, and all adds up.
  EXPECT_EQ(told.reported.at("events"), lines);
  EXPECT_GT(told.number("dead_letters", "unknown_type"), 0u);
  EXPECT_GT(told.number("impressions", "late"), 0u);
  EXPECT_GT(told.number("impressions", "duplicate"), 0u);
  EXPECT_GT(told.number("outcomes", "applied"), 0u);
  const std::uint64_t shed = told.number("dropped_rows", "shed");
  const std::uint64_t left_out = told.number("dropped_rows", "negative_sampling");
  EXPECT_GT(shed, 0u);
  EXPECT_GT(left_out, 0u);
  const json::object& ctr = told.reported.at("tasks").at("ctr").at("all").as_object();
  const auto trained = metric("millrace_train_rows_total{model=\"shop\"}");
  EXPECT_LT(trained, told.reported.at("rows").to_number<std::uint64_t>());
  EXPECT_GT(trained, 0u);
  EXPECT_GT(told.number("capped", "users"), 0u);
  EXPECT_EQ(ctr.at("rows").to_number<std::uint64_t>(), trained + told.number("capped", "rows"));
}

}  // namespace
}  // namespace millrace
