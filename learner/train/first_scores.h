#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/embedding/keyed_rows.h"
#include "learner/publish/served_logits.h"

namespace millrace {

/// What the model said of impressions before it had trained any of their rows, kept until their
/// labels are decided: the scores that count for tasks whose labels are trained early
/// (contract/README.md, Labels and metrics). For each impression the served logits of these tasks,
/// and of their products where they have one, and the row's slice.
///
/// Memory: 20 bytes, 4 for each logit and about 11 of index an impression (`bytes_each`), from its
/// first row to its last label. A score whose label never comes (its rows were shed later) goes
/// after `forget_after` of event time. State: the set "scores", and the value "scores_clock"
/// (counter and time of the last look, not in the digest). Threads: one at a time.
class FirstScores {
 public:
  FirstScores(const Schema& schema, Duration forget_after);

  /// Whether any task needs them.
  bool any() const { return !tasks_.empty(); }
  /// Where a task's logits stand in an entry; −1: none.
  int own(int task) const { return own_[static_cast<std::size_t>(task)]; }
  int product(int task) const { return product_[static_cast<std::size_t>(task)]; }

  /// Where the mark of the row's slice stands (TaskMetrics::slice_marks). Requires: any().
  int mark() const { return width_; }

  /// Takes the scores of a batch's rows (z [rows, T]) whose impressions have none yet. `marks`: of
  /// the rows' slices, or empty.
  void add(const Batch& batch, View<const float> z, const ServedLogits& served,
           std::span<const float> marks = {});
  /// An impression's logits, or null; a null is counted.
  const float* find(std::uint64_t key);
  void erase(std::uint64_t key);

  std::uint64_t size() const { return rows_.size(); }
  std::uint64_t bytes() const { return any() ? rows_.bytes() : 0; }
  /// Labels that could not be measured for want of a score, since the store began.
  std::uint64_t missed() const { return missed_; }
  static std::uint64_t bytes_each(const Schema& schema);

  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings, StateChanges& changes);
  /// Each returns whether the name is one of these. Error: throws StateError.
  bool restore_value(std::string_view name, std::string_view bytes);
  bool restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes);

 private:
  void forget_old(EventTime now);

  std::vector<int> tasks_;
  std::vector<int> own_, product_;  // by task
  int width_ = 0;
  const Duration forget_after_;
  KeyedRows rows_;
  EventTime looked_ = EventTime::before_all();
  std::uint64_t missed_ = 0;
};

}  // namespace millrace
