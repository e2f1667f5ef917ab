#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ingest/join/join_history.h"
#include "ingest/join/join_state.h"
#include "ingest/join/kept_outcome.h"
#include "ingest/join/windows.h"
#include "learner/base/time.h"

namespace millrace {

/// What the join knows of one impression id.
struct JoinExplanation {
  enum class State {
    kWaiting,   ///< Labels of it are open.
    kFinished,  ///< All were decided, since the start.
    kUnknown,   ///< No such impression waits, or was finished lately; but something came for it.
  };
  /// One task's label of it.
  struct Label {
    enum class State { kAwaited, kDecided, kNone };
    State state = State::kNone;  ///< kNone: impressions give this task no label.
    EventTime until;             ///< When it is, or was, due: decided once W is beyond.
    /// Of a decided one: nothing where it is missing, or was decided before the start.
    std::optional<double> label;
  };
  State state = State::kUnknown;
  bool in_store = false;               ///< Of a waiting one: not in memory.
  std::optional<EventTime> time;       ///< Of the impression.
  std::vector<Label> labels;           ///< By task; empty of an unknown one.
  std::vector<KeptOutcome> applied;    ///< Of a waiting one.
  std::vector<KeptOutcome> waiting;    ///< Outcomes that wait for the impression, as they came,
  std::vector<EventTime> waits_until;  ///< each until W is beyond this.
  std::vector<Refusal> refused;        ///< The last ones since the start, oldest first.
  EventTime watermark;                 ///< W
};

/// What is known of this impression; nothing where that is nothing at all. Changes nothing, and may
/// read the store. Error: throws what that throws.
std::optional<JoinExplanation> explain_impression(std::string_view id, JoinState& state,
                                                  const JoinHistory& history,
                                                  const Windows& windows, int tasks);

}  // namespace millrace
