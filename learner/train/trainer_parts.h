#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "learner/base/check.h"
#include "learner/device/devices.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/layers/input_layer.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/chunks.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/feedback_heads.h"
#include "learner/train/first_scores.h"
#include "learner/train/gate_means.h"
#include "learner/train/gradient_sum.h"
#include "learner/train/guardrail.h"
#include "learner/train/input_reports.h"
#include "learner/train/label_shares.h"
#include "learner/train/label_tools.h"
#include "learner/train/model_watch.h"
#include "learner/train/output_start.h"
#include "learner/train/prepared_weights.h"
#include "learner/train/task_balancing.h"
#include "learner/train/task_losses.h"
#include "learner/train/task_metrics.h"
#include "learner/train/trainer.h"

/// What a Trainer is made of. Inner to train/: trainer_step.cc is the step, trainer.cc everything
/// around it.
namespace millrace {

/// What a thread of a step needs for itself; from tile to tile, and from one chunk to the next, it
/// stays in the cache.
struct ThreadMemory {
  std::unique_ptr<Backend<float>> backend;
  std::unique_ptr<Model<float>::Workspace> work;
  Buffer<float> x;  ///< [tile, D]
};

struct Trainer::Parts {
  Parts(std::string name_, const Schema& schema_, const LearnerOptions& options_);

  enum class Done { kLearned, kMeasured, kSkipped };
  Done step(const Batch& batch);
  void start_outputs(const Batch& batch);
  /// `gradients`: where the chunk's gradient goes; null: the rows are scored alone.
  void run_chunk(const Chunks& chunks, int chunk, ThreadMemory& memory, const Batch& batch,
                 float* gradients);
  bool run_chunks(const Batch& batch);
  Pass pass_of(const Batch& batch, bool training) const;
  Done finish(const Batch& batch, const LabelShares& next_shares, bool gradient_finite);
  void take_back();
  bool is_bounded();
  bool lost();

  const std::string name;
  const Schema schema;
  const LearnerOptions options;
  TrainerProbe probe;

  Threads threads;
  const Model<float> model;
  const int tile;  ///< Rows that go through the model together.
  InputLayer inputs;
  Buffer<float> weights;
  DenseUpdater<float> updater;
  /// What a step leaves as it is: what no step trains, `fixed` of them, then frozen tasks' own.
  std::vector<ParameterSlot> kept;
  const std::size_t fixed;
  GateMeans gates;
  FeedbackHeads heads;
  LabelShares shares;
  LabelTools labels;
  OutputStart outputs;
  TaskMetrics metrics;
  ModelWatch watch;
  FirstScores scores;
  Guardrail guardrail;
  std::uint64_t steps = 0, rows = 0, skipped = 0;
  EventTime seen = EventTime::before_all();
  bool published = false;  ///< Whether there was a publication since the start or a restore.
  bool dense_restored = false;

  // Of the step in progress, and of the last one.
  TaskLosses losses;
  TaskBalancing balancing;
  std::vector<double> omega, scale;  ///< By task: weight, and that / normaliser.
  std::vector<ThreadMemory> thread_memory;
  std::vector<Buffer<float>> chunk_gradients;  ///< As many as sum_of_chunks needs.
  Buffer<float> dx;                            ///< [rows, D]
  Buffer<float> z, dz;                         ///< [rows, T]
  PreparedWeights prepared;
  /// First biases of this batch, to be taken back if it is skipped: (place, before).
  std::vector<std::pair<long, float>> biases_before;
  std::vector<std::optional<double>> last_loss;
  /// Of the last batch that was learned, where versions are published: what they are tried on.
  Batch last;
  std::vector<TaskLoss> last_sums;
};

}  // namespace millrace
