#include "learner/evaluate/gate_watch.h"

#include <cstdio>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr std::uint64_t kWindowRows = 1'024;

void save_tally(const GateTally& tally, ByteWriter& writer) {
  writer.put(tally.rows);
  writer.put(tally.entropy);
  writer.put_all(tally.sum);
  writer.put_all(tally.squares);
  writer.put_all(tally.zeros);
  writer.put_all(tally.fired);
}

GateTally restored_tally(const std::vector<std::string>& experts, ByteReader& reader) {
  GateTally tally;
  tally.experts = experts;
  tally.rows = reader.get<std::uint64_t>();
  tally.entropy = reader.get<double>();
  tally.sum = reader.get_all<double>();
  tally.squares = reader.get_all<double>();
  tally.zeros = reader.get_all<double>();
  tally.fired = reader.get_all<std::uint8_t>();
  const std::size_t columns = tally.rows == 0 ? tally.sum.size() : experts.size();
  if (tally.sum.size() != columns || tally.squares.size() != columns ||
      tally.zeros.size() != columns || (columns > 0 && tally.fired.size() % columns != 0)) {
    throw StateError("a saved gate has another number of experts");
  }
  return tally;
}

std::string shown(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", share);
  return text;
}

}  // namespace

std::string_view to_string(GateReport::Alarm alarm) {
  switch (alarm) {
    case GateReport::Alarm::kNone:
      return "none";
    case GateReport::Alarm::kEven:
      return "even";
    case GateReport::Alarm::kCollapsed:
      return "collapsed";
  }
  return "?";
}

GateWatch::GateWatch(std::vector<WatchedGate> gates, const GateWatchOptions& options,
                     std::string value)
    : options_(options), value_(std::move(value)) {
  for (WatchedGate& gate : gates) {
    any_ |= !gate.experts.empty();
    gates_.push_back({{std::move(gate)}, {}, {}});
  }
}

bool GateWatch::is_due(std::uint64_t step) const {
  return any_ && options_.every > 0 && step % static_cast<std::uint64_t>(options_.every) == 0;
}

void GateWatch::add(std::span<const GateTally> tallies, std::uint64_t rows) {
  MILLRACE_CHECK(tallies.size() == gates_.size());
  for (std::size_t t = 0; t < gates_.size(); ++t) {
    Gate& gate = gates_[t];
    if (gate.experts.empty() || tallies[t].rows == 0) continue;
    gate.open.add(tallies[t]);
    changed_ = true;
    if (gate.open.rows >= kWindowRows) close(gate, rows);
  }
}

void GateWatch::close(Gate& gate, std::uint64_t rows) {
  using Alarm = GateReport::Alarm;
  gate.closed = std::exchange(gate.open, {});
  if (gate.experts.size() < 2 || rows < static_cast<std::uint64_t>(options_.warmup_rows)) return;
  const double entropy = gate.closed.mean_entropy();
  const Alarm alarm = entropy > options_.even        ? Alarm::kEven
                      : entropy < options_.collapsed ? Alarm::kCollapsed
                                                     : Alarm::kNone;
  if (alarm == gate.alarm) return;
  gate.alarm = alarm;
  const std::string of = (gate.task.empty() ? "the shared gate" : "the gate of " + gate.task) +
                         (gate.lower ? " at level " + std::to_string(gate.level) : "");
  const std::string at = " (entropy " + shown(entropy) + " of the greatest)";
  switch (alarm) {
    case Alarm::kEven:
      notices_.push_back(of + " does not tell its experts apart" + at);
      break;
    case Alarm::kCollapsed:
      notices_.push_back(of + " uses one expert alone" + at);
      break;
    case Alarm::kNone:
      notices_.push_back(of + " mixes its experts again" + at);
      break;
  }
}

std::vector<std::string> GateWatch::take_notices() { return std::exchange(notices_, {}); }

std::vector<GateReport> GateWatch::report() const {
  std::vector<GateReport> reports;
  for (const Gate& gate : gates_) {
    // The first window is shown while it fills.
    const GateTally& tally = gate.closed.rows > 0 ? gate.closed : gate.open;
    if (gate.experts.empty() || tally.rows == 0) continue;
    GateReport& report = reports.emplace_back();
    report.task = gate.task;
    report.level = gate.level;
    report.lower = gate.lower;
    report.rows = tally.rows;
    report.entropy = tally.mean_entropy();
    report.experts = gate.experts;
    report.alarm = gate.alarm;
    for (std::size_t e = 0; e < gate.experts.size(); ++e) {
      report.means.push_back(tally.mean(e));
      report.deviations.push_back(tally.deviation(e));
      report.zeros.push_back(tally.zero_share(e));
      report.dead.push_back(tally.dead_share(e));
    }
  }
  return reports;
}

void GateWatch::save(StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  for (const Gate& gate : gates_) {
    save_tally(gate.open, writer);
    save_tally(gate.closed, writer);
    writer.put(gate.alarm);
  }
  changes.values.push_back({value_, writer.take()});
}

bool GateWatch::restore(std::string_view name, std::string_view bytes) {
  if (name != value_) return false;
  ByteReader reader(bytes);
  for (Gate& gate : gates_) {
    gate.open = restored_tally(gate.experts, reader);
    gate.closed = restored_tally(gate.experts, reader);
    gate.alarm = reader.get<GateReport::Alarm>();
  }
  if (!reader.at_end()) throw StateError("saved gates have a wrong size");
  changed_ = false;
  return true;
}

}  // namespace millrace
