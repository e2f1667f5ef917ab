#include "ops/config/memory.h"

#include <algorithm>
#include <bit>

#include "ingest/encode/user_cap.h"
#include "learner/embedding/row_optimizer.h"
#include "learner/evaluate/auc.h"
#include "learner/evaluate/sliding_auc.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/chunks.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/gradient_sum.h"
#include "learner/train/task_gradients.h"
#include "learner/train/trainers.h"

namespace millrace {
namespace {

constexpr double kMiB = 1 << 20;

// The program and its libraries, threads, an empty store; measured.
constexpr double kProcess = 36 * kMiB;
// Of the store's write buffers, at most (store/database.h).
constexpr double kStoreBuffers = 256 * kMiB;
// Rows that are learned between two commits, at most: what one model takes in on one core.
constexpr double kRowsPerSecond = 160'000;
// Of keys on their way to a row.
constexpr double kCandidateBytes = 34;
// Of a histogram's pieces: bins that hold something, as they mostly are, at 24 bytes.
constexpr double kSparseTally = 500 * 24;

int row_floats(const LearnerOptions& options, int dimension) {
  return dimension + row_state(options.train.embedding, dimension);
}

// What a row takes while it is learned: key, times, weights, optimiser values, index, and its
// places in the lists of what changed.
double training_row_bytes(const LearnerOptions& options, int dimension) {
  return 16 + 4.0 * row_floats(options, dimension) + 13.5 + 8;
}

// Of its entry in a commit (KeyedRows).
double committed_row_bytes(const LearnerOptions& options, int dimension) {
  return 21 + 4.0 * row_floats(options, dimension);
}

// What `rows` take in one of the two serving copies: weights, and an index of 16 bytes a slot, of
// which a power of two is at most ⅝ full (RowTable).
double serving_bytes(double rows, int dimension) {
  const auto slots = std::bit_ceil(static_cast<std::uint64_t>(rows * 8 / 5) + 16);
  return 4.0 * dimension * rows + 16 * static_cast<double>(slots);
}

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

Schema inputs_of(const ModelPlan& plan) {
  return input_schema(plan.projection.schema(), plan.options.model);
}

// Outputs of probabilities that are measured: of a task's own, and of the product over its chain.
int binary_outputs(const Schema& schema) {
  int count = 0;
  for (const Task& task : schema.tasks()) {
    count += (task.kind == TaskKind::kBinary ? 1 : 0) + (task.entire_space && task.given >= 0);
  }
  return count;
}

// All metrics of one binary output (OutputMetrics).
double output_bytes(const EvaluateOptions& options) {
  const double tally = kAucBins * 16.0;
  const int spans = (options.window ? 1 : 0) + (options.long_window ? 1 : 0);
  const bool sliced = options.slices.event || !options.slices.feature.empty();
  const std::size_t named = options.slices.values.size();
  const double slices =
      sliced ? 1.0 + static_cast<double>(named > 0 ? named
                                                   : static_cast<std::size_t>(options.slices.most))
             : 0;
  return (4 + spans + slices) * tally + (19 + 96 + 23.0 * spans + 19 * slices) * kSparseTally +
         16.0 * options.gauc_rows + 400.0 * options.history.points;
}

class Estimator {
 public:
  Estimator(const Config& config, const std::vector<ModelPlan>& plans,
            std::optional<std::int64_t> rows)
      : config_(config), plans_(plans), rows_(rows) {}

  MemoryEstimate estimate() {
    const Schema schema = config_.schema();
    add("the process itself", kProcess, "");
    add("records read ahead", static_cast<double>(config_.kafka.prefetch.value), "kafka.prefetch",
        false);
    if (config_.events.has_impressions) {
      add("join state", static_cast<double>(config_.join.memory.value),
          "join.memory; beyond it impressions lie in the store, for about 8 bytes of memory each");
    }
    if (const UserCapOptions& cap = config_.learner.guardrails.user_cap; cap.rows > 0) {
      add("user cap",
          kStreams * static_cast<double>(UserCap::kBytesEach) * static_cast<double>(cap.users),
          "at " + grouped(cap.users) + " users in a window of each stream");
    }
    add_batches(schema);
    for (const ModelPlan& plan : plans_) add_model(plan);
    // As the models hand it over, and as it is written.
    add("a commit", 2 * committed_,
        config_.store.commit_every ? "at 160,000 learned rows a second, store.commit_every"
                                   : "of all rows at once: store.commit_every is off");
    // What commits write lies there, too, until it is in a file.
    add("store's write buffers", rows_ ? std::min(kStoreBuffers, written_) : kStoreBuffers, "");
    const bool several = plans_.size() > 1;
    add("served tables, two copies", served_,
        all_served() ? "of all models; see serve.models"
        : several    ? "of the largest champion"
                     : "",
        false);
    return std::move(estimate_);
  }

 private:
  void add(const std::string& what, double bytes, const std::string& note, bool of_replay = true) {
    estimate_.parts.push_back({what, bytes, note, of_replay});
    estimate_.together += bytes;
    if (of_replay) estimate_.of_replay += bytes;
  }

  // Rows of a table that change between two commits: as many as are learned, a new one each, where
  // the models share the time.
  double changed_rows() const {
    if (!config_.store.commit_every) return 1e18;
    const double seconds = static_cast<double>(config_.store.commit_every->count()) / 1000;
    return kRowsPerSecond * seconds / static_cast<double>(plans_.size());
  }

  bool all_served() const {
    return config_.models.size() > 1 && config_.serve.models == ServedChoice::kAll;
  }

  // Those in the queue, those that are open, and the one that is learned.
  void add_batches(const Schema& schema) {
    const TrainOptions& train = config_.learner.train;
    const double row =
        8.0 * (static_cast<double>(schema.key_features().size()) + 3) +
        4.0 * (static_cast<double>(schema.numeric_features().size()) + schema.dense_width() + 2) +
        8.0 * static_cast<double>(schema.tasks().size());
    add("batches on their way", (train.queue + 3.0) * train.batch * row,
        "train.queue, at full batches");
  }

  void add_model(const ModelPlan& plan) {
    const std::string of = plans_.size() > 1 ? " of " + plan.name : "";
    const auto most = static_cast<std::int64_t>(plan.options.embeddings.max_rows);
    const std::int64_t count = rows_ ? std::min(*rows_, most) : most;
    const auto rows = static_cast<double>(count);
    const Schema inputs = inputs_of(plan);
    double served = 0, each = 0, each_served = 0;
    for (const Table& table : inputs.tables()) {
      const double row = training_row_bytes(plan.options, table.dimension);
      add("table " + table.name + of, rows * row,
          "at " + grouped(count) + " rows of " + std::to_string(table.dimension));
      const double entry = committed_row_bytes(plan.options, table.dimension);
      committed_ += std::min(rows, changed_rows()) * entry;
      written_ += rows * entry;
      served += 2 * serving_bytes(rows, table.dimension);
      each += row + 3 * entry;
      each_served += 2 * (4.0 * table.dimension + 40);
      if (plan.options.embeddings.admit_after > 1) {
        const bool bloom = plan.options.embeddings.admission == KeyAdmission::kBloom;
        add("  keys without a row",
            bloom ? static_cast<double>(plan.options.embeddings.admission_memory.value)
                  : rows * kCandidateBytes,
            bloom ? "embeddings.admission_memory" : "at as many keys");
      }
    }
    add_dense(plan, inputs, of);
    add_metrics(plan, of);
    estimate_.each_row += each;
    if (all_served() && plan.twin_of < 0) {
      served_ += served;
      estimate_.each_row += each_served;
      return;
    }
    // Where no model has every task, the first is served.
    const bool any_whole = std::any_of(plans_.begin(), plans_.end(), [](const ModelPlan& p) {
      return p.projection.has_all_tasks();
    });
    if (!(any_whole ? plan.projection.has_all_tasks() : &plan == plans_.data())) return;
    served_ = std::max(served_, served);
    estimate_.each_row += &plan == plans_.data() ? each_served : 0;
  }

  // Weights, the optimiser's values, gradients, the forms that tiles read; served: the newest, the
  // one being read, the next. And a step's inputs with their slopes.
  void add_dense(const ModelPlan& plan, const Schema& inputs, const std::string& of) {
    const TrainOptions& train = plan.options.train;
    const int forms = train.batch < Chunks::kPrepared     ? 0
                      : train.products == Products::kBf16 ? 2
                                                          : 1;
    const int state = DenseUpdater<float>::states(train.dense.optimizer);
    const int gradients =
        gradient_buffers(Chunks(train.batch).count, threads_of_each(train.threads, plans_.size()));
    const Model<float> model(inputs, plan.options.model);
    const auto parameters = static_cast<double>(model.parameter_count());
    add("dense weights" + of,
        4.0 * (1 + state + gradients + forms + 3) * parameters +
            8.0 * train.batch * inputs.inputs(),
        "");
    if (plan.options.balance.surgery != Surgery::kNone || train.dense.task_states) {
      add("each task's gradients" + of, TaskGradients::bytes(model, train.batch),
          train.dense.task_states ? "train.dense.task_states" : "balance.surgery");
    }
    if (train.dense.task_states) {
      add("each task's optimiser" + of,
          4.0 * state * model.tasks() *
              static_cast<double>(count_values(shared_slots(model.parameters()))),
          "train.dense.task_states");
    }
  }

  void add_metrics(const ModelPlan& plan, const std::string& of) {
    const EvaluateOptions& evaluate = plan.options.evaluate;
    const int outputs = binary_outputs(plan.projection.schema());
    add("metrics" + of,
        (outputs + static_cast<double>(plan.options.train.recalibrate.size())) *
            output_bytes(evaluate),
        "of " + std::to_string(outputs) + " outputs");
    if (evaluate.exact_auc_rows > 0) {
      add("exact AUC" + of,
          static_cast<double>(SlidingAuc::kBytesEach) * outputs * evaluate.exact_auc_rows,
          "evaluate.exact_auc_rows of " + std::to_string(outputs) + " outputs");
      constexpr double kSaved = 16;
      committed_ += kSaved * outputs * std::min<double>(evaluate.exact_auc_rows, changed_rows());
      written_ += kSaved * outputs * evaluate.exact_auc_rows;
    }
  }

  const Config& config_;
  const std::vector<ModelPlan>& plans_;
  const std::optional<std::int64_t> rows_;
  MemoryEstimate estimate_;
  double committed_ = 0, written_ = 0, served_ = 0;
};

}  // namespace

MemoryEstimate estimate_memory(const Config& config, const std::vector<ModelPlan>& plans,
                               std::optional<std::int64_t> rows) {
  return Estimator(config, plans, rows).estimate();
}

}  // namespace millrace
