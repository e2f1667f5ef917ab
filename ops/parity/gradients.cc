#include "ops/parity/gradients.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "learner/base/random.h"
#include "learner/device/devices.h"
#include "learner/layers/input_layer.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/feedback_heads.h"
#include "learner/train/task_losses.h"
#include "ops/parity/weights.h"

namespace millrace {
namespace {

using Values = std::vector<double>;

/// Roundings of a loss, in its last place, that a difference of two may have.
constexpr double kRoundings = 32 * 0x1p-52;
constexpr double kTold = 1e-6;

/// The relative difference of two steps' slopes from which on a kink is between them.
constexpr double kKink = 3e-7;
constexpr std::uint64_t kDraws = 0x67726164;

constexpr int kAllMove = -1, kNothingMoves = -2;

std::optional<Error> cannot_tell(const Config& config) {
  const ModelOptions& model = config.learner.model;
  if (model.backbone == BackboneKind::kStem && model.stem_levels > 1) {
    return Error{
        "model.stem_levels: " + std::to_string(model.stem_levels) +
        " holds slopes back between levels, which differences of the losses have; expected 1"};
  }
  if (model.gate_entropy > 0 || model.load_balance > 0) {
    return Error{
        "model.gate_entropy, model.load_balance: penalties are no task's loss; expected 0"};
  }
  const Schema schema = config.schema();
  for (const Task& task : schema.tasks()) {
    if (task.policy == FeedbackPolicy::kWait || task.policy == FeedbackPolicy::kDfm) continue;
    return Error{"train.delayed_feedback." + task.name +
                 ": labels that weigh by what the step says itself cannot be compared; expected "
                 "wait or dfm"};
  }
  return std::nullopt;
}

/// The batch's x, and its losses by all weights.
template <class T>
class Losses {
 public:
  Losses(const Schema& schema, const ModelOptions& options, const Batch& batch, const Pass& pass,
         const Values& weights, const Values& x)
      : schema_(schema),
        model_(schema, options),
        cpu_(open_device<T>("cpu")),
        work_(model_.workspace(*cpu_, batch.rows)),
        losses_(schema, batch.rows),
        heads_(schema, FeedbackOptions{}, model_.inputs(), batch.rows, 1, batch.rows, 1),
        pass_(pass),
        rows_(batch.rows),
        weights(weights.begin(), weights.end()),
        x(x.begin(), x.end()),
        z_(static_cast<std::size_t>(rows_ * tasks())),
        dz_(z_.size()) {
    losses_.begin(batch);
    // Rates of delays are held as they are at this x.
    std::vector<float> held(x.begin(), x.end()), no_logits(z_.size());
    heads_.begin(batch, std::vector<std::uint8_t>(static_cast<std::size_t>(tasks())));
    heads_.run(0, true, 0, {held.data(), rows_, model_.inputs()},
               {no_logits.data(), rows_, tasks()});
    scale_.resize(static_cast<std::size_t>(tasks()));
    for (std::size_t k = 0; k < scale_.size(); ++k) {
      if (losses_.counts()[k] > 0) scale_[k] = 1 / losses_.counts()[k];
    }
  }

  int tasks() const { return model_.tasks(); }
  const Model<T>& model() const { return model_; }
  bool has_labels(int task) const { return scale_[static_cast<std::size_t>(task)] > 0; }

  const std::vector<T>& forward() {
    model_.forward(weights.data(), input(), *work_, view(z_), pass_);
    return z_;
  }
  /// L_k by the logits of the last `forward`, of task `moves` alone where that is one; the others'
  /// are those in `still`.
  Values by_logits(int moves, const std::vector<T>& still) {
    for (std::size_t i = 0; moves >= 0 && i < z_.size(); ++i) {
      if (static_cast<int>(i) % tasks() != moves) z_[i] = still[i];
    }
    losses_.run<T>(0, view(z_), scale_, heads_, view(dz_));
    Values all;
    for (const TaskLoss& loss : losses_.sums())
      all.push_back(loss.count > 0 ? loss.sum / loss.count : 0);
    return all;
  }

  /// The gradient of L_task, of the weights and, behind them, of x.
  Values gradient(int task) {
    forward();
    std::vector<double> one(scale_.size());
    one[static_cast<std::size_t>(task)] = scale_[static_cast<std::size_t>(task)];
    losses_.run<T>(0, view(z_), one, heads_, view(dz_));
    std::vector<T> gradients(weights.size()), dx(x.size());
    model_.backward_loss(weights.data(), input(), *work_, {view(dz_), losses_.towers(task)},
                         gradients.data(), true, {dx.data(), rows_, model_.inputs()});
    Values all(gradients.begin(), gradients.end());
    all.insert(all.end(), dx.begin(), dx.end());
    return all;
  }

 private:
  View<T> view(std::vector<T>& values) { return {values.data(), rows_, tasks()}; }
  View<const T> input() const { return {x.data(), rows_, model_.inputs()}; }

  const Schema& schema_;
  const Model<T> model_;
  std::unique_ptr<Backend<T>> cpu_;
  std::unique_ptr<typename Model<T>::Workspace> work_;
  TaskLosses losses_;
  FeedbackHeads heads_;
  const Pass pass_;
  const int rows_;

 public:
  std::vector<T> weights, x;

 private:
  std::vector<T> z_, dz_;
  std::vector<double> scale_;
};

Values drawn_weights(const Model<double>& model, std::uint64_t seed, double deviation) {
  Values weights(static_cast<std::size_t>(model.parameter_count()));
  for (const ParameterSlot& slot : model.parameters()) {
    const bool variance = slot.name.ends_with(".variance"), known = slot.name.ends_with(".known");
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        const auto place = static_cast<std::size_t>(slot.offset + r * slot.stride + c);
        const auto bits = philox(seed, kDraws, place);
        const double draw = deviation * to_normal(bits[0], bits[1])[0];
        weights[place] = variance ? std::abs(draw) + 0.2 : known ? 1 : draw;
      }
    }
  }
  return weights;
}

/// What of x one task's logit alone reads (of a STEM, its part of an embedding), or kAllMove; what
/// of a STEM's input all groups read, in which slopes are held back, is kNothingMoves.
std::vector<int> input_moves(const Schema& schema, const ModelOptions& options, int inputs) {
  if (options.backbone != BackboneKind::kStem) {
    return std::vector<int>(static_cast<std::size_t>(inputs), kAllMove);
  }
  std::vector<int> moves(static_cast<std::size_t>(inputs), kNothingMoves);
  const InputGroups groups = stem_groups(schema);
  for (const auto& part : groups.parts) {
    if (!part.own) continue;
    for (int group = 0; group < groups.count; ++group) {
      std::fill_n(moves.begin() + part.from + group * part.width, part.width,
                  group + 1 < groups.count ? group : kAllMove);
    }
  }
  return moves;
}

/// The slopes of all losses in one value, by steps 2h and h.
struct Slopes {
  Values wide, narrow;
};

Slopes slopes_of(Losses<double>& losses, double& value, int moves, double step,
                 const std::vector<double>& still) {
  const double before = value;
  const auto by = [&](double h) {
    Values sides[2];
    for (const int side : {0, 1}) {
      value = before + (side == 0 ? -h : h);
      losses.forward();
      sides[side] = losses.by_logits(moves, still);
    }
    for (std::size_t k = 0; k < sides[1].size(); ++k) {
      sides[1][k] = (sides[1][k] - sides[0][k]) / (2 * h);
    }
    return sides[1];
  };
  Slopes slopes{by(2 * step), by(step)};
  value = before;
  return slopes;
}

struct Array {
  std::string name;
  std::vector<std::size_t> places;  ///< Among the weights, and behind them x.
  std::vector<int> moves;
};

std::vector<Array> arrays_of(const Model<double>& model, const Schema& schema,
                             const ModelOptions& options, int rows) {
  std::vector<Array> arrays;
  const bool stem = options.backbone == BackboneKind::kStem;
  for (const ParameterSlot& slot : model.parameters()) {
    if (!slot.trained) continue;
    Array& array = arrays.emplace_back(Array{slot.name, {}, {}});
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        array.places.push_back(static_cast<std::size_t>(slot.offset + r * slot.stride + c));
        array.moves.push_back(stem ? slot.task : kAllMove);
      }
    }
  }
  Array& x = arrays.emplace_back(Array{"x", {}, {}});
  const std::vector<int> moves = input_moves(schema, options, model.inputs());
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * moves.size(); ++i) {
    const int of = moves[i % moves.size()];
    if (of == kNothingMoves) continue;
    x.places.push_back(static_cast<std::size_t>(model.parameter_count()) + i);
    x.moves.push_back(of);
  }
  return arrays;
}

/// The batch's x under the tables' given rows; the batches before it make the numbers' statistics.
Values gather(const Schema& schema, const GradientRun& run, const std::vector<TableUpdate>& tables,
              int inputs) {
  InputLayer layer(schema, run.config.learner.embeddings, run.config.learner.train.embedding,
                   static_cast<std::uint64_t>(run.config.learner.train.seed));
  const std::vector<Batch>& batches = run.batches.batches;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    layer.put_rows(static_cast<int>(t), tables[t].keys, tables[t].rows, batches.at(0).due);
  }
  std::vector<float> x;
  for (const Batch& batch : batches) {
    layer.advance(batch.due);
    layer.look_up(batch);
    x.assign(static_cast<std::size_t>(batch.rows) * static_cast<std::size_t>(inputs), 0);
    const View<float> view(x.data(), batch.rows, inputs);
    layer.gather(0, view);
    if (&batch == &batches.back()) break;
    layer.scatter(view, 0);
    layer.keep();
  }
  return {x.begin(), x.end()};
}

/// ‖a − b‖ / ‖b‖ over what was not left out; ‖b‖ is at least what differences that round by `noise`
/// tell to kTold.
double relative(const Values& a, const Values& b, double noise) {
  double difference = 0, size = 0, known = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(b[i])) continue;
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
    ++known;
  }
  if (difference == 0) return 0;
  const double by = std::sqrt(difference / std::max(size, known * noise * noise / (kTold * kTold)));
  return std::isfinite(by) ? by : std::numeric_limits<double>::infinity();
}

}  // namespace

Result<GradientResult> check_gradients(const GradientRun& run) {
  if (auto fault = cannot_tell(run.config)) return *fault;
  const ModelOptions& options = run.config.learner.model;
  const Schema schema = input_schema(run.config.schema(), options);
  const Batch& batch = run.batches.batches.back();
  const Model<double> model(schema, options);
  const auto seed = static_cast<std::uint64_t>(run.config.learner.train.seed);
  Values weights = drawn_weights(model, seed, run.deviation);
  std::vector<TableUpdate> tables;
  if (run.weights) {
    const auto given = read_weights(*run.weights, run.config);
    if (!given) return given.error();
    weights.assign(given->dense.begin(), given->dense.end());
    tables = given->tables;
  }
  const Values x = gather(schema, run, tables, model.inputs());
  Pass pass;
  pass.training = true;
  pass.seed = seed;
  pass.row_weights = batch.weights;
  pass.batch_rows = static_cast<double>(
      std::count_if(batch.weights.begin(), batch.weights.end(), [](float w) { return w != 0; }));
  Losses<double> wide(schema, options, batch, pass, weights, x);
  Losses<float> narrow(schema, options, batch, pass, weights, x);
  const std::vector<double> still = wide.forward();
  Values noise = wide.by_logits(kAllMove, still);  // of each loss's slopes
  for (int k = 0; k < wide.tasks(); ++k) {
    const double loss = still[static_cast<std::size_t>(k)];
    if (std::isfinite(loss)) continue;
    return Error{"the loss of " + schema.tasks()[static_cast<std::size_t>(k)].name + " is " +
                 std::to_string(loss) + ", which is not finite, at these weights"};
  }
  for (double& of : noise) of = kRoundings * std::max(1.0, std::abs(of)) / run.step;
  std::vector<Values> ours, in_float;
  for (int k = 0; k < wide.tasks(); ++k) {
    ours.push_back(wide.has_labels(k) ? wide.gradient(k) : Values());
    in_float.push_back(wide.has_labels(k) ? narrow.gradient(k) : Values());
  }
  GradientResult result;
  for (const Array& array : arrays_of(model, schema, options, batch.rows)) {
    std::vector<Values> expected(ours.size(), Values(array.places.size())), first = expected;
    for (std::size_t i = 0; i < array.places.size(); ++i) {
      const std::size_t place = array.places[i];
      double& value =
          place < wide.weights.size() ? wide.weights[place] : wide.x[place - wide.weights.size()];
      const Slopes slopes = slopes_of(wide, value, array.moves[i], run.step, still);
      for (std::size_t k = 0; k < ours.size(); ++k) {
        expected[k][i] = (4 * slopes.narrow[k] - slopes.wide[k]) / 3;
        first[k][i] = slopes.wide[k] - slopes.narrow[k];
      }
    }
    ArrayGradient& of = result.arrays.emplace_back(ArrayGradient{array.name, 0, 0, ""});
    for (std::size_t k = 0; k < ours.size(); ++k) {
      if (ours[k].empty()) continue;
      double largest = 0;
      for (const double slope : expected[k]) largest = std::max(largest, std::abs(slope));
      Values mine, floats;
      for (std::size_t i = 0; i < array.places.size(); ++i) {
        mine.push_back(ours[k][array.places[i]]);
        floats.push_back(in_float[k][array.places[i]]);
        ++result.compared;
        if (!(std::abs(first[k][i]) > kKink * largest)) continue;
        ++result.left_out;
        expected[k][i] = std::nan("");
      }
      const double difference = relative(mine, expected[k], noise[k]);
      if (difference >= of.in_double) {
        of.in_double = difference;
        of.loss = schema.tasks()[k].name;
      }
      of.in_float = std::max(of.in_float, relative(floats, expected[k], noise[k]));
    }
  }
  return result;
}

}  // namespace millrace
