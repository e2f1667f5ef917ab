#include "ops/inspection.h"

#include <fmt/format.h>

#include <iterator>
#include <set>
#include <string_view>

#include "ingest/join/accounts_state.h"
#include "learner/base/state.h"
#include "learner/publish/serving_model.h"
#include "ops/json_inner.h"
#include "ops/report.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr std::string_view kModelPrefix = "model/";
constexpr std::string_view kRowsPrefix = "rows/";

// "impressions  in 10 · late 2": an object of numbers.
std::string numbers(const json::object& object) {
  std::string line;
  for (const auto& [name, number] : object) {
    fmt::format_to(std::back_inserter(line), "{}{} {}", line.empty() ? "" : " · ",
                   std::string_view(name), json::serialize(number));
  }
  return line;
}

void add_line(std::string& text, std::string_view name, std::string_view value) {
  fmt::format_to(std::back_inserter(text), "{:<13} {}\n", name, value);
}

json::array lost_of(const Inspection& inspection) {
  json::array lost;
  for (const LostRange& range : inspection.losses.last()) {
    json::object one{{"topic", range.key.first},
                     {"partition", range.key.second},
                     {"from", range.first},
                     {"to", nullptr},
                     {"reason", kLossReasonNames[static_cast<std::size_t>(range.reason)]}};
    if (range.end) one["to"] = *range.end - 1;
    lost.push_back(std::move(one));
  }
  return lost;
}

json::array offsets_of(const Inspection& inspection) {
  json::array offsets;
  for (const auto& [input, offset] : inspection.offsets.all()) {
    offsets.push_back(
        json::object{{"topic", input.first}, {"partition", input.second}, {"offset", offset}});
  }
  for (const FilePosition& file : inspection.files) {
    offsets.push_back(
        json::object{{"path", file.path}, {"position", file.position}, {"lines", file.lines}});
  }
  return offsets;
}

json::array history_of(const Inspection& inspection) {
  json::array events;
  for (const StoreEvent& one : inspection.history) {
    const bool lost = one.kind == StoreEvent::Kind::kLost;
    json::object event{{"event", lost ? "lost" : "rollback"},
                       {"from", one.from},
                       {"to", one.to},
                       {"commit", one.commit}};
    if (!lost) {
      event["snapshot"] = one.snapshot;
      event["offsets"] = one.keeps_offsets ? "keep" : "rewind";
      event["time"] = print_rfc3339(one.time);
    }
    events.push_back(std::move(event));
  }
  return events;
}

void add_history(const Inspection& inspection, std::string& text) {
  for (const StoreEvent& one : inspection.history) {
    if (one.kind == StoreEvent::Kind::kLost) {
      add_line(text, "lost commits",
               fmt::format("{} to {}; they were acknowledged", one.to + 1, one.from));
    } else {
      add_line(
          text, "rollback",
          fmt::format("{}: commit {} to {}, as {}, offsets {}", print_rfc3339(one.time), one.from,
                      one.snapshot, one.commit, one.keeps_offsets ? "kept" : "rewound"));
    }
  }
  if (inspection.lost_commits) {
    add_line(text, "lost commits",
             fmt::format("{} to {}; not opened since", inspection.lost_commits->recovered + 1,
                         inspection.lost_commits->acknowledged));
  }
  if (inspection.acknowledged_damaged) {
    add_line(text, "lost commits", "not known: the store's file `acknowledged` cannot be read");
  }
}

}  // namespace

Inspection inspect(const Store& store) {
  Inspection found;
  found.commit = store.sequence();
  found.version = print_version({found.commit, 0});
  if (const auto bytes = store.value("source", "kafka_positions")) {
    found.offsets.restore(*bytes);
  }
  if (const auto bytes = store.value("source", "kafka_losses")) found.losses.restore(*bytes);
  if (const auto bytes = store.value("source", "files")) found.files = file_positions(*bytes);
  if (const auto bytes = store.value("join", "accounts")) {
    ByteReader reader(*bytes);
    found.accounts = read_accounts(reader);
  }
  if (const auto bytes = store.value("sampling", "dropped")) {
    found.dropped_rows = read_dropped(*bytes);
  }
  if (const auto bytes = store.value("join", "label_delays")) {
    ByteReader reader(*bytes);
    found.label_delays = LabelDelays::read(reader);
  }
  if (const auto bytes = store.value("user_cap", "counts")) {
    found.capped = UserCap::read_counts(*bytes);
  }
  const StateSummary summary = store.summarize();
  for (const StateSummary::Set& set : summary.sets) {
    if (!set.participant.starts_with(kModelPrefix) || !set.set.starts_with(kRowsPrefix)) continue;
    found.tables.push_back({set.participant.substr(kModelPrefix.size()),
                            set.set.substr(kRowsPrefix.size()), set.entries, set.bytes});
  }
  std::set<std::string> models;
  for (const Inspection::Table& table : found.tables) models.insert(table.model);
  for (const std::string& model : models) {
    const std::string participant = std::string(kModelPrefix) + model;
    const auto state = store.value(participant, "guardrails");
    const auto notes = store.value(participant, "guardrail_notes");
    if (state && notes) found.guardrails.emplace_back(model, read_guardrails(*state, *notes));
  }
  for (const std::string& participant : store.participants()) {
    if (participant.starts_with(kModelPrefix)) {
      found.models.push_back(participant.substr(kModelPrefix.size()));
    }
  }
  found.champion = store.value("models", "champion");
  found.snapshots = store.snapshots();
  found.digest = summary.digest;
  found.history = store.history();
  found.lost_commits = store.lost();
  found.acknowledged_damaged = store.acknowledged_damaged();
  return found;
}

std::string to_json(const Inspection& inspection) {
  json::object out;
  out["commit"] = inspection.commit;
  out["version"] = inspection.version;
  out["offsets"] = offsets_of(inspection);
  out["lost"] = lost_of(inspection);
  add_accounts(inspection.accounts, out);
  add_dropped_rows(inspection.dropped_rows, out);
  add_capped(inspection.capped, out);
  add_label_delays(inspection.label_delays, out);
  json::array& names = out["models"].emplace_array();
  for (const std::string& name : inspection.models) names.emplace_back(name);
  out["champion"] = inspection.champion ? json::value(*inspection.champion) : json::value(nullptr);
  json::array& tables = out["tables"].emplace_array();
  for (const Inspection::Table& table : inspection.tables) {
    tables.push_back(json::object{{"model", table.model},
                                  {"name", table.name},
                                  {"rows", table.rows},
                                  {"bytes", table.bytes}});
  }
  json::object& guardrails = out["guardrails"].emplace_object();
  for (const auto& [model, saved] : inspection.guardrails) {
    json::object one;
    add_guardrails(saved.report, saved.tasks, one);
    guardrails[model] = one["guardrails"];
  }
  json::array& snapshots = out["snapshots"].emplace_array();
  for (const SnapshotInfo& one : inspection.snapshots) {
    snapshots.push_back(json::object{{"name", one.name},
                                     {"commit", one.commit},
                                     {"taken", print_rfc3339(one.taken)},
                                     {"bytes", one.bytes}});
  }
  out["digest"] = print_digest(inspection.digest);
  out["history"] = history_of(inspection);
  json::value& lost = out["lost_commits"];
  if (inspection.lost_commits) {
    lost = json::object{{"acknowledged", inspection.lost_commits->acknowledged},
                        {"recovered", inspection.lost_commits->recovered}};
  } else if (inspection.acknowledged_damaged) {
    lost = json::object{{"acknowledged", nullptr}, {"recovered", inspection.commit}};
  }
  return json::serialize(out);
}

std::string to_text(const Inspection& inspection) {
  std::string text;
  add_line(text, "commit", std::to_string(inspection.commit));
  add_line(text, "version", inspection.version);
  add_line(text, "digest", print_digest(inspection.digest));
  for (const auto& [input, offset] : inspection.offsets.all()) {
    add_line(text, "offset", fmt::format("{}/{} at {}", input.first, input.second, offset));
  }
  for (const LostRange& range : inspection.losses.last()) {
    add_line(text, "lost",
             fmt::format("{}/{}: {} ({})", range.key.first, range.key.second, print_range(range),
                         kLossReasonNames[static_cast<std::size_t>(range.reason)]));
  }
  for (const FilePosition& file : inspection.files) {
    add_line(text, "file",
             fmt::format("{} at byte {}, line {}", file.path, file.position, file.lines));
  }
  json::object accounts;
  add_accounts(inspection.accounts, accounts);
  add_dropped_rows(inspection.dropped_rows, accounts);
  add_capped(inspection.capped, accounts);
  for (const auto& [name, value] : accounts) {
    add_line(text, name, value.is_object() ? numbers(value.as_object()) : json::serialize(value));
  }
  for (const LabelDelays::Of& of : inspection.label_delays) {
    std::string line = of.name + ":";
    for (int part = 0; part < LabelDelays::kParts && of.applied() > 0; ++part) {
      line += fmt::format(" {:.1f} % within {} ·", 100 * of.share(part), label_delay_part(part));
    }
    add_line(text, "label_delays", line + fmt::format(" {} out of window", of.out_of_window));
  }
  for (const std::string& name : inspection.models) {
    add_line(text, "model", name + (inspection.champion == name ? " (champion)" : ""));
  }
  for (const Inspection::Table& table : inspection.tables) {
    add_line(text, "table",
             fmt::format("{} of {}: {} rows, {} bytes", table.name, table.model, table.rows,
                         table.bytes));
  }
  for (const auto& [model, saved] : inspection.guardrails) {
    const auto add = [&, &name = model](const std::string& what, const Freeze& freeze) {
      if (!freeze.on()) return;
      add_line(text, "frozen",
               fmt::format("{} of {} ({}): {}; {} rows passed over", what, name,
                           to_string(freeze.reason), freeze.text, freeze.rows));
    };
    add("learning", saved.report.learning);
    add("learning", saved.report.pause);
    for (std::size_t k = 0; k < saved.tasks.size(); ++k) {
      add("task " + saved.tasks[k], saved.report.tasks[k]);
    }
    if (!saved.report.quarantine.empty()) {
      add_line(text, "quarantine",
               fmt::format("{} batches of {}", saved.report.quarantine.size(), model));
    }
  }
  for (const SnapshotInfo& one : inspection.snapshots) {
    add_line(text, "snapshot", fmt::format("{}, {} bytes", one.name, one.bytes));
  }
  add_history(inspection, text);
  return text;
}

}  // namespace millrace
