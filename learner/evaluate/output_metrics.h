#pragma once

#include <string>
#include <string_view>

#include "learner/base/state.h"
#include "learner/evaluate/tally.h"
#include "learner/evaluate/window.h"

namespace millrace {

/// The metrics of one output of a model: since the store began, over the window, and over the last
/// fifth of what this object saw. Memory: three tallies and at most 150 sparse ones.
class OutputMetrics {
 public:
  /// `name`: of its values in the saved state, e.g. "metrics/ctr".
  OutputMetrics(std::string name, bool binary)
      : name_(std::move(name)), all_(binary), window_(binary), last_fifth_(binary) {}

  void add(const Measurement& measurement) {
    all_.add(measurement);
    window_.add(measurement);
    last_fifth_.add(measurement);
    changed_ = true;
  }

  Figures all() const { return all_.figures(); }
  Figures window() const { return window_.tally().figures(); }
  Figures last_fifth() const { return last_fifth_.tally().figures(); }

  /// The values name/all, name/window and its pieces, where they changed since the last call.
  void save(StateChanges& changes);
  /// Returns whether the value is one of this output's. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  const std::string name_;
  Tally all_;
  Window window_;
  LastFifth last_fifth_;
  bool changed_ = true;
};

}  // namespace millrace
