#pragma once

#include <vector>

#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// What one of several models on a stream has of it: some of the stream's tasks, and some of its
/// features. The join and the encoder stay one; their batches are cut to what the model knows.
///
/// A task whose condition the model does not have is learned alone: on the rows where its condition
/// holds, without a product over conditions. All other rows miss its label.
/// Immutable; any thread.
class Projection {
 public:
  /// All of the stream.
  explicit Projection(const Schema& stream);
  /// `tasks` and `features`: indices into the stream's. Requires: ascending, and not empty; a task
  /// that is learned alone waits for its label (FeedbackPolicy::kWait).
  Projection(const Schema& stream, std::vector<int> tasks, std::vector<int> features);

  /// The model's.
  const Schema& schema() const { return schema_; }
  /// Whether batches are the stream's as they are.
  bool is_whole() const { return whole_; }
  bool has_all_tasks() const { return all_tasks_; }
  /// By the model's index: the stream's.
  const std::vector<int>& tasks() const { return tasks_; }
  const std::vector<int>& features() const { return features_; }

  /// Overwrites `out` with what the model has of `batch`, whose labels may be absent (a batch that
  /// is only scored). Every row stays. Memory: that of `out` is reused.
  void apply(const Batch& batch, Batch& out) const;

 private:
  void cut_features(Batch& batch) const;
  void cut_tasks(Batch& batch) const;

  std::vector<int> tasks_, features_;
  Schema schema_;
  std::size_t stream_tasks_, stream_numbers_, stream_dense_;
  bool whole_ = false, all_tasks_ = false;
  std::vector<char> alone_;                     ///< By the model's task.
  std::vector<std::size_t> columns_, numbers_;  ///< By the model's: the stream's.
  struct Part {
    std::size_t from, width;  ///< In a row of the stream's dense vectors.
  };
  std::vector<Part> dense_;
};

}  // namespace millrace
