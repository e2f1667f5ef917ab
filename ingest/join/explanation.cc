#include "ingest/join/explanation.h"

#include <cmath>
#include <cstddef>

namespace millrace {
namespace {

using Decisions = std::vector<JoinHistory::Decision>;
using Label = JoinExplanation::Label;

// Of the rows of the impression at this time; an id may be used again later.
std::optional<double> label_in(const Decisions& decisions, EventTime time, int task) {
  std::optional<double> label;
  for (const JoinHistory::Decision& row : decisions) {
    const double value = row.labels[static_cast<std::size_t>(task)];
    if (row.time == time && !std::isnan(value)) label = value;
  }
  return label;
}

std::vector<Label> labels_of(EventTime time, const TaskSet* open, const Decisions& decisions,
                             const Windows& windows, int tasks) {
  std::vector<Label> labels(static_cast<std::size_t>(tasks));
  for (int k = 0; k < tasks; ++k) {
    if (!windows.labelled().has(k)) continue;
    Label& label = labels[static_cast<std::size_t>(k)];
    label.until = time + windows.offset(k);
    if (open != nullptr && open->has(k)) {
      label.state = Label::State::kAwaited;
    } else {
      label.state = Label::State::kDecided;
      label.label = label_in(decisions, time, k);
    }
  }
  return labels;
}

}  // namespace

std::optional<JoinExplanation> explain_impression(std::string_view id, JoinState& state,
                                                  const JoinHistory& history,
                                                  const Windows& windows, int tasks) {
  JoinExplanation found;
  const Decisions decisions = history.decisions_of(id);
  const bool waits = state.look_at(id, [&](const WaitingImpression& impression, bool in_store) {
    found.state = JoinExplanation::State::kWaiting;
    found.in_store = in_store;
    found.time = impression.time;
    found.labels = labels_of(impression.time, &impression.open, decisions, windows, tasks);
    if (!impression.applied) return;
    found.applied.assign(impression.applied->begin(), impression.applied->end());
  });
  if (!waits && !decisions.empty() && decisions.back().finished) {
    found.state = JoinExplanation::State::kFinished;
    found.time = decisions.back().time;
    found.labels = labels_of(*found.time, nullptr, decisions, windows, tasks);
  }
  found.waiting = state.look_at_kept(id);
  for (const KeptOutcome& outcome : found.waiting) {
    found.waits_until.push_back(windows.waits_until(outcome.time));
  }
  found.refused = history.refusals_of(id);
  if (!found.time && found.waiting.empty() && found.refused.empty()) return std::nullopt;
  return found;
}

}  // namespace millrace
