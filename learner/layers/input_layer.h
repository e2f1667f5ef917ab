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
#include "learner/device/threads.h"
#include "learner/embedding/options.h"
#include "learner/embedding/pooling.h"
#include "learner/embedding/row_optimizer.h"
#include "learner/embedding/table.h"
#include "learner/layers/running_moments.h"

namespace millrace {

/// From a batch to the network's input x [B,D] and back: pooled embeddings, standardised numbers
/// and dense vectors, each at its Schema::input_offset. Owns the embedding tables and the
/// statistics of the numbers.
///
/// One batch: advance → look_up → gather (any parts of it) → scatter → keep or undo. After `undo`
/// all is as before `look_up`. Numbers are standardised by the statistics from before the batch.
/// Tables are worked on beside each other by `threads`, each by one, so that no bit depends on
/// their number. Memory: the tables; gradients and slots of the largest batch so far. Cost: that of
/// the batch's own keys, but for sweeps and evictions.
/// Threads: one at a time, but `gather`s beside each other.
class InputLayer {
 public:
  /// Borrows `schema`, and `threads` where there are some. `seed`: of the embeddings' initial
  /// values.
  InputLayer(const Schema& schema, const EmbeddingOptions& options,
             const EmbeddingOptimizerOptions& optimizer, std::uint64_t seed,
             Threads* threads = nullptr);

  /// Moves event time to `due` (never back). When that crosses a multiple of expire_after / 64 (of
  /// a second at least), rows that were not seen for `expire_after` are dropped. Tables that are
  /// full make room, if they evict.
  void advance(EventTime due);

  /// Multiplies the rows' rate from the next `keep` on (RowOptimizer::set_rate_factor).
  void set_rate_factor(double factor) { optimizer_.set_rate_factor(factor); }

  /// Finds or makes the rows of all keys; of batch rows that weigh nothing it only finds. Borrows
  /// `batch` until `keep` or `undo`.
  void look_up(const Batch& batch);

  /// x [count, D] of the batch's rows [first, first + count), count = x.rows.
  void gather(int first, View<float> x) const;

  /// From dx [rows, D] to the gradients of the used rows, each times `scale`. A key's gradients add
  /// up in the order of the rows (of the features, in one row). Returns false where one is not
  /// finite, or so large that its square would not be.
  bool scatter(View<const float> dx, float scale);

  /// The gradients of one table's used rows from dx [rows, D], [used rows, dimension], as `scatter`
  /// would add them up for scale 1; `gradients` is overwritten.
  void row_gradients(int table, View<const float> dx, std::vector<float>& gradients) const;

  /// Updates the rows by their gradients and takes the batch's numbers into the statistics; the
  /// batch is `fraction` of a full one (for embedding.decay). Returns the largest absolute weight
  /// of the used rows; NaN where one is not finite.
  float keep(double fraction = 1);
  void undo();

  /// Gives the keys of table `table` rows of these weights, [keys, dimension] (none: initial ones),
  /// as last seen at `seen`. Requires: no batch is in progress, and a key gets a row when it is
  /// first seen.
  void put_rows(int table, std::span<const std::uint64_t> keys, std::span<const float> weights,
                EventTime seen);

  const std::vector<EmbeddingTable>& tables() const { return tables_; }
  std::vector<EmbeddingTable>& tables() { return tables_; }
  /// One for each of Schema::numeric_features, whether it is standardised or not.
  const std::vector<RunningMoments>& moments() const { return moments_; }

  /// The tables' sets and the values "numeric" and "tables" (times and counters, not in the
  /// digest).
  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings, StateChanges& changes);
  /// Each returns whether the name was one of the layer's. Error: throws StateError.
  bool restore_value(std::string_view name, std::string_view bytes);
  bool restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes);

 private:
  struct KeyPart {
    int table = 0;
    int offset = 0;  ///< Of its columns in x.
    PooledColumn column;
    std::vector<std::uint64_t> learned;  ///< Scratch of `look_up`: keys of the rows that weigh.
  };
  /// One table, and what the batch does with it.
  struct TablePart {
    std::vector<int> keys;         ///< Indices of KeyParts.
    std::vector<float> gradients;  ///< [used rows, dimension]
    std::vector<ColumnGradient> columns;
    bool finite = true;
    float largest = 0;
  };
  struct CopiedPart {
    int from = 0;  ///< In Batch::dense.
    int offset = 0;
    int width = 0;
  };

  const Schema& schema_;
  const Duration expire_after_, sweep_every_;
  RowOptimizer optimizer_;
  Threads* const threads_;
  std::vector<EmbeddingTable> tables_;
  std::vector<KeyPart> keys_;     ///< Parallel to Schema::key_features.
  std::vector<TablePart> parts_;  ///< Parallel to tables_.
  std::vector<CopiedPart> dense_;
  std::vector<RunningMoments> moments_;
  EventTime now_ = EventTime::before_all();
  double steps_ = 0;  ///< Σ fraction of all batches kept.

  EventTime now() const { return now_.is_finite() ? now_ : kEarliestEventTime; }
  /// Calls work(t) for each table.
  template <class Work>
  void for_tables(const Work& work);
  void look_up(std::size_t table, bool all_weigh);

  const Batch* batch_ = nullptr;
};

}  // namespace millrace
