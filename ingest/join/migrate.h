#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ingest/encode/transcode.h"
#include "ingest/event/event.h"
#include "ingest/join/feedback.h"
#include "ingest/join/join_state.h"
#include "ingest/join/kept_outcome.h"
#include "ingest/join/label_source.h"
#include "ingest/join/windows.h"
#include "learner/data/schema.h"

namespace millrace {

/// What the join's state was made with, or shall be.
struct JoinShape {
  const Schema& schema;
  const EventTypes& types;
  const std::vector<LabelSource>& labels;  ///< Parallel to schema.tasks().
};

/// Carries what waits in the join over to other tasks, features and types of outcomes.
///
/// A waiting impression keeps the labels whose task both shapes have with the same label,
/// condition and space, as have all its conditions; a label of a new task it never gets,
/// because outcomes that would have been applied to it may have gone by. Its due times follow the
/// new windows. Outcomes keep their type by name.
///
/// Where the policy of a task (or its short wait) changed, each label is still trained by one
/// policy alone, as Feedback says of tasks that are carried: one without a row yet at maturity; one
/// that has a row goes on with a 1 that comes later, and is measured. Only of a label that has a
/// row and comes under `wait` there is nothing more: `wait` has neither rows that are not measured
/// nor measures that are not trained, so its final label would be trained a second time, or be
/// measured by its 1s alone. Such a label is dropped; it still decides what is given it. The policy
/// of a condition does not matter to a task. Threads: one at a time.
class JoinMigration {
 public:
  /// Borrows what both shapes refer to.
  JoinMigration(const JoinShape& from, const JoinShape& to);

  /// The impression in the new shape; nothing where no label of it is left to wait for.
  /// Error: throws StateError.
  std::optional<WaitingImpression> impression(std::string_view id, std::string_view value);
  /// Outcomes that wait for an impression; those whose type is gone, or used no more, go.
  std::vector<KeptOutcome> outcomes(std::string_view value);

  /// What went so far.
  std::uint64_t finished_impressions() const { return finished_; }
  std::uint64_t dropped_labels() const { return dropped_labels_; }
  std::uint64_t dropped_waiting_outcomes() const { return dropped_outcomes_; }
  /// By task of the new schema: the same one of the old, or −1.
  const std::vector<int>& tasks() const { return tasks_; }

 private:
  bool is_same(int old_task, int new_task) const;
  bool is_same_policy(int old_task, int new_task) const;
  void carry(const WaitingImpression& old, int old_task, int new_task, WaitingImpression& moved);
  void end_decided(const WaitingImpression& old, WaitingImpression& moved) const;
  bool has_more_to_say(const WaitingImpression& moved) const;

  const JoinShape from_, to_;
  const Windows from_windows_;
  const Feedback from_feedback_;
  const FeatureTranscoder transcode_;
  std::vector<int> tasks_;       // by new task: the old one
  std::vector<int> new_task_;    // by old task: the new one
  std::vector<int> new_type_;    // by old type of outcome: the new one
  std::vector<bool> used_type_;  // by new type
  std::uint64_t finished_ = 0, dropped_labels_ = 0, dropped_outcomes_ = 0;
};

}  // namespace millrace
