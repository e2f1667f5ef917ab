#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/device/backend.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/layers/activations.h"
#include "learner/layers/mlp_bank.h"
#include "learner/math/loss.h"
#include "learner/train/delays.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/feedback_options.h"
#include "learner/train/label_shares.h"
#include "learner/train/report.h"

namespace millrace {

/// The auxiliary heads of es_dfm, defer, defuse and dfm (algorithms 2.14): small nets of their own
/// on the model's input x, whose slope ends there, so that they move no other weight.
///
///   f_dp = P(the label becomes 1 after the short wait), of all rows of the task's space;
///   f_rn = P(it stays 0), of rows whose label was 0 at the short wait (not of defer);
///   λ    = softplus(w), the rate at which a 1 that comes does come (dfm alone, its only head).
///
/// f_dp and f_rn are logits, trained by cross-entropy on the targets that come when labels are
/// decided (Batch::targets); their last bias starts at the base rate of the first targets, and
/// until then f_dp = 0 and f_rn = 1: nothing is known to change. w is trained by the losses of
/// math/delay_model.h on the rows that tell_delay, with the task's log odds held constant, and
/// measures time in a DelayScale's unit, of the batches before; it starts near 0, where λ = ln 2
/// makes that unit the median delay. All by the rule for partial batches of algorithms 2.0.
/// Weights start by Philox, each head in its own stream.
///
/// A batch: `begin`; `run` for each tile, before the losses of its rows; then `sum` and, if all is
/// finite, `keep`; else `undo`. Memory: a gradient and activations for each chunk, 4 bytes a row
/// and head. Threads: `run` for different chunks beside each other.
class FeedbackHeads {
 public:
  /// Borrows `schema`. `inputs`: columns of x; `chunks`: gradient buffers; `tile`: most rows of one
  /// `run`. Without a task under such a policy it has nothing and does nothing.
  FeedbackHeads(const Schema& schema, const FeedbackOptions& options, int inputs, int batch,
                int chunks, int tile, std::uint64_t seed);

  bool any() const { return !heads_.empty(); }

  /// learns[k]: whether task k learns from this batch. Where it does not, its heads stay as they
  /// are, moments included. Borrows `batch`.
  void begin(const Batch& batch, std::span<const std::uint8_t> learns);
  /// Rows [first, first + x.rows) of chunk `chunk`, whose first tile overwrites its gradients. z
  /// [x.rows,T]: the model's logits of the same rows; may be left out where no task is under dfm.
  void run(int chunk, bool first_tile, int first, View<float> x, View<const float> z = {});
  /// Adds up the gradients of the first `chunks` chunks; false where something is not finite.
  bool sum(int chunks, Threads& threads);
  void keep(Threads& threads);
  void undo();

  /// Of a row that has run; 0 and 1 where the task has no such head or it has seen no target.
  double delayed(int row, int task) const { return value(row, delayed_[index(task)], 0); }
  double never(int row, int task) const { return value(row, never_[index(task)], 1); }
  /// Of a row that tells_delay: w; and the unit in which λ and its delays are, in ms.
  double rate(int row, int task) const {
    return logits_[index(row) * heads_.size() + index(rate_[index(task)])];
  }
  double unit_ms(int task) const { return heads_[index(rate_[index(task)])].unit.ms(); }

  std::vector<HeadReport> report(const Schema& schema) const;

  /// One value, "feedback"; nothing without heads.
  void save(StateChanges& changes) const;
  /// Returns whether the value is this object's. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  enum class Of { kDelayed, kNever, kRate };
  struct Head {
    int task = 0;
    Of of = Of::kDelayed;
    std::uint8_t known = 0, yes = 0;  // bits of target::
    std::vector<int> odds = {};       // kRate: the tasks whose product has the odds
    DelayScale unit{1};               // kRate
    bool started = false;
    double last_loss = 0;
    float bias_before = 0;  // of this batch, to be taken back
    bool starts_now = false;
    bool learns = true;                     // from this batch
    std::vector<ParameterSlot> slots = {};  // its own parameters
  };
  struct Chunk {
    std::unique_ptr<Backend<float>> backend;
    Buffer<float> memory, gradients;
  };
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }
  static std::vector<Head> heads_of(const Schema& schema);
  std::uint8_t targets(int row, int task) const {
    return batch_->targets[index(row) * tasks_ + index(task)];
  }
  double value(int row, int head, double unknown) const;
  bool has_target(std::size_t row, const Head& head) const;
  /// A head's loss of a row that has a target, and its slope in the head's logit.
  math::Loss<double> loss_of(const Head& head, int row, double logit, const float* z) const;
  long output_bias(std::size_t head) const {
    return bank_->layers().back().bias + static_cast<long>(head);
  }
  void start(std::size_t head);
  void take_delays(Head& head) const;

  const std::size_t tasks_;
  const int batch_rows_, tile_;
  std::vector<Head> heads_;
  std::vector<int> delayed_, never_, rate_;  // by task: the head, or −1
  ActivationPlan plan_;
  long parameters_ = 0;
  std::unique_ptr<const MlpBank<float>> bank_;
  Buffer<float> weights_;
  std::unique_ptr<DenseUpdater<float>> updater_;
  LabelShares shares_, next_shares_;
  std::vector<Chunk> chunks_;

  const Batch* batch_ = nullptr;
  bool has_targets_ = false;
  std::vector<double> counts_, scale_;  // by head
  std::vector<float> logits_, losses_;  // [rows, heads]
};

}  // namespace millrace
