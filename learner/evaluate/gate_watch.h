#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/evaluate/options.h"
#include "learner/model/gate_tally.h"

namespace millrace {

/// What one task's gate does, over its last window of at least 1,024 measured rows.
struct GateReport {
  /// Of the last window: how even the mixture was. kEven: the experts are not told apart;
  /// kCollapsed: one of them has everything.
  enum class Alarm : std::uint8_t { kNone, kEven, kCollapsed };
  std::string task;    ///< Empty: the shared stream's.
  int level = 0;       ///< From 0;
  bool lower = false;  ///< below the top one, whose gates the towers read.
  std::uint64_t rows = 0;
  double entropy =
      0;  ///< Mean H(g) / ln n: 1 where all experts weigh alike, 0 where one has it all.
  std::vector<std::string> experts;
  std::vector<double> means, deviations;  ///< [n] Of g (PLE, Tang et al. 2020, fig. 8).
  /// [n] Share of the expert's outputs that are 0, and of its units that were 0 in every row.
  std::vector<double> zeros, dead;
  Alarm alarm = Alarm::kNone;
};
/// "none", "even", "collapsed".
std::string_view to_string(GateReport::Alarm alarm);

/// A gate to be watched. Without experts there is none.
struct WatchedGate {
  std::string task;  ///< As in GateReport.
  int level = 0;
  bool lower = false;
  std::vector<std::string> experts = {};
};

/// Watches the gates of a model (algorithms 2.3): measurements of a batch every so many steps make
/// windows, and a gate of two experts or more whose mean entropy over a whole window is outside the
/// options' band gives an alarm, once, until it is inside again. No alarm before `warmup_rows` rows
/// were learned: gates start even. Memory: two tallies a gate. Threads: one at a time.
class GateWatch {
 public:
  /// `value`: the name of what is saved of them.
  GateWatch(std::vector<WatchedGate> gates, const GateWatchOptions& options,
            std::string value = "evaluate/gates");

  /// Whether this step is to be measured.
  bool is_due(std::uint64_t step) const;
  /// Takes a measurement, a tally for each gate, of a model that has learned `rows` rows.
  void add(std::span<const GateTally> tallies, std::uint64_t rows);
  /// What there is to tell, each once, for the log.
  std::vector<std::string> take_notices();

  /// Only gates that were measured.
  std::vector<GateReport> report() const;
  void save(StateChanges& changes);
  /// Returns whether the value is its own. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  struct Gate : WatchedGate {
    GateTally open, closed;
    GateReport::Alarm alarm = GateReport::Alarm::kNone;
  };
  void close(Gate& gate, std::uint64_t rows);

  const GateWatchOptions options_;
  const std::string value_;
  std::vector<Gate> gates_;
  std::vector<std::string> notices_;
  bool any_ = false;
  bool changed_ = false;
};

}  // namespace millrace
