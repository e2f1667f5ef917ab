#pragma once

#include <optional>
#include <span>
#include <vector>

#include "learner/balance/surgery.h"
#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/layers/input_layer.h"
#include "learner/model/level_backbone.h"
#include "learner/model/model.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/task_losses.h"

namespace millrace {

/// The gradients of a step's losses one by one, for those who ask: GradNorm and the relations of
/// those of the last layer that all tasks share, gradient surgery and an optimiser with a state for
/// each task of all.
///
/// A batch: `begin`, for each tile of its rows `slopes` (filled by TaskLosses::run) and `backward`
/// in place of Model::backward, `combine` where all are wanted; if the batch is learned
/// `accumulate`, and once Σφ ≥ 1 `take_gram`. The losses are weighed as they are trained, ω_k L_k,
/// so that surgery acts on what would be summed without it.
///
/// Memory, beside a trainer's own: where all are wanted (`bytes`), for each loss as many values as
/// there are weights for each chunk, and as the largest batch has inputs; otherwise for each loss
/// the last shared layer's for each chunk; and once for what is summed of partial batches. Threads:
/// one at a time, but `slopes` and `backward` of different chunks beside each other.
class TaskGradients {
 public:
  enum class Want { kSum, kLastShared, kAll };

  /// What is asked for: kAll without surgery, kLastShared.
  struct Uses {
    bool apart = false, measures = false;
  };

  /// Borrows all but `groups`: of which embeddings' parts belong to one task (STEM; all but a row's
  /// last one). `rows`: of the largest batch.
  TaskGradients(const Model<float>& model, const TaskLosses& losses, const BalanceOptions& options,
                const InputGroups& groups, int rows, Uses uses, std::uint64_t seed);

  /// Memory of kAll, roughly.
  static double bytes(const Model<float>& model, int rows);

  /// `scale` [T] as in TaskLosses::run, borrowed: a loss of scale 0 takes no part.
  void begin(Want want, const std::vector<double>& scale, int rows);

  /// Where TaskLosses::run leaves the slopes by loss of a tile of `rows` rows; empty: nobody asks.
  View<float> slopes(int chunk, int rows);

  /// One tile of a chunk's rows: [first, first + x.rows) of the batch.
  struct Tile {
    int chunk;
    bool starts_chunk;
    int first;
    View<const float> x, dz;
    View<float> dx;    ///< Empty: nobody wants slopes in x.
    float* gradients;  ///< The chunk's.
  };
  void backward(const float* weights, Model<float>::Workspace& work, const Tile& tile);

  /// Whether `combine` must follow: the chunks' own gradients and dx hold nothing.
  bool combines() const { return want_ == Want::kAll; }
  /// Surgery (or, without one, the sum): the combined gradient of all dense weights goes to
  /// `gradient`, that of x to `dx` [rows, D], by the inner products of all that several losses
  /// reach, the embedding rows of `inputs` among them; what one task alone reaches keeps the sum.
  /// Returns whether all is finite. `step`: draws PCGrad's order. Where `inputs` has no tables, dx
  /// stays as it is.
  bool combine(int chunks, DenseUpdater<float>& updater, Threads& threads, const InputLayer& inputs,
               std::uint64_t step, float* gradient, View<float> dx);

  /// After `combine`: the gradients of the losses that take part, one by one. Valid until `begin`.
  std::span<const TaskGradient<float>> by_task() const { return by_task_; }

  /// Takes in a batch that was learned, if the last shared layer's gradients were asked for.
  void accumulate(int chunks, std::span<const TaskLoss> sums);
  /// The inner products of the losses' mean gradients on the last shared layer over all batches
  /// since the last call, [T,T] by rows; counts [T]: their rows. NaN for a task without.
  std::vector<double> take_gram(std::span<const TaskLoss> counts);
  /// Whether the last shared layer's gradients can be asked for, and whether any are summed.
  bool measures() const { return !sums_.empty(); }
  bool has_sums() const { return summed_; }

  /// What is summed since the last `take_gram`: there is something.
  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  /// A stretch of the block of parameters.
  struct Run {
    long offset, count;
  };
  float* all(int chunk, int loss) const;
  float* last_shared(int chunk, int loss) const;
  float* input_slopes(int loss) const;
  void copy_last_shared(int chunks);
  void keep_shared(int dimension, std::vector<float>& rows) const;
  Gram gram(const InputLayer& inputs, int D);
  std::optional<std::vector<double>> shares_of(const InputLayer& inputs, int D, std::uint64_t step);

  const Model<float>& model_;
  const TaskLosses& losses_;
  const BalanceOptions options_;
  const int tasks_, most_rows_;
  const std::uint64_t seed_;
  std::vector<Run> shared_, own_, fixed_;  ///< Of several losses, of one task, of none.
  const int parts_;                        ///< Of an embedding; all but the last are a task's own.
  std::vector<Run> own_columns_;           ///< Of x.

  Want want_ = Want::kSum;
  int rows_ = 0;
  const std::vector<double>* scale_ = nullptr;
  std::vector<int> active_;  ///< Losses that take part.
  std::vector<TaskGradient<float>> by_task_;

  Buffer<float> slopes_ = allocate_host<float>(0);       ///< By chunk: [tile, matrices · T]
  Buffer<float> all_ = allocate_host<float>(0);          ///< [chunks, T, parameters]
  Buffer<float> last_shared_ = allocate_host<float>(0);  ///< [chunks, T, last shared layer]
  Buffer<float> dx_ = allocate_host<float>(0);           ///< [T, rows, D]
  std::vector<std::vector<float>> row_gradients_;        ///< Scratch: of one table, by loss.
  std::vector<float> sums_;                              ///< [T, last shared layer]
  bool summed_ = false;
};

}  // namespace millrace
