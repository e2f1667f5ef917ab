#include "learner/train/model_watch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "learner/math/loss.h"
#include "learner/train/chunks.h"

namespace millrace {
namespace {

std::vector<WatchedGate> top_gates(const Schema& schema, const Model<float>& model) {
  const std::vector<LowerGate> lower = model.lower_gates();
  const int level = lower.empty() ? 0 : lower.back().level + 1;
  std::vector<WatchedGate> gates;
  for (int t = 0; t < model.tasks(); ++t) {
    gates.push_back({.task = schema.tasks()[static_cast<std::size_t>(t)].name,
                     .level = level,
                     .experts = model.gate_experts(t)});
  }
  return gates;
}

std::vector<WatchedGate> lower_gates(const Schema& schema, const Model<float>& model) {
  std::vector<WatchedGate> gates;
  for (LowerGate& gate : model.lower_gates()) {
    const std::string task =
        gate.task < 0 ? "" : schema.tasks()[static_cast<std::size_t>(gate.task)].name;
    gates.push_back({task, gate.level, true, std::move(gate.experts)});
  }
  return gates;
}

double loss_slope(const Task& task, double z, double y) {
  switch (task.kind) {
    case TaskKind::kBinary:
      return math::bce(z, y).slope;
    case TaskKind::kCount:
      return math::poisson(z, y).slope;
    case TaskKind::kRegression:
    case TaskKind::kDuration:
      break;
  }
  const bool huber = task.loss == RegressionLoss::kHuber;
  return (huber ? math::huber(z, y, task.delta) : math::squared(z, y)).slope;
}

}  // namespace

ModelWatch::ModelWatch(const Schema& schema, const Model<float>& model,
                       const EvaluateOptions& options)
    : schema_(schema),
      model_(model),
      by_loss_(options.importance.measure == ImportanceMeasure::kLoss),
      gates_(top_gates(schema, model), options.gates),
      lower_gates_(lower_gates(schema, model), options.gates, "evaluate/lower_gates"),
      importance_(schema, options.importance) {}

void ModelWatch::measure(const Batch& batch, std::uint64_t step, std::uint64_t rows,
                         const float* weights, const Gather& gather, Model<float>::Workspace& work,
                         const Importance::RowOf& row_of) {
  if (gates_.is_due(step)) {
    score_sample(batch, weights, gather, work);
    std::vector<GateTally> tallies(schema_.tasks().size());
    model_.tally_gates(work, tallies);
    gates_.add(tallies, rows);
    if (lower_gates_.is_due(step)) {
      std::vector<GateTally> lower(model_.lower_gates().size());
      model_.tally_lower_gates(work, lower);
      lower_gates_.add(lower, rows);
    }
  }
  if (importance_.is_due(step)) measure_importance(batch, weights, gather, work, row_of);
}

std::vector<std::string> ModelWatch::take_notices() {
  std::vector<std::string> notices = gates_.take_notices();
  for (std::string& notice : lower_gates_.take_notices()) notices.push_back(std::move(notice));
  return notices;
}

std::vector<GateReport> ModelWatch::gates() const {
  std::vector<GateReport> reports = gates_.report();
  for (GateReport& report : lower_gates_.report()) reports.push_back(std::move(report));
  return reports;
}

View<const float> ModelWatch::sample(int rows, const Gather& gather) {
  const int D = model_.inputs();
  x_.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(D));
  const View<float> x(x_.data(), rows, D);
  gather(x);
  return x;
}

// Gates are measured as they serve: no unit is dropped.
void ModelWatch::score_sample(const Batch& batch, const float* weights, const Gather& gather,
                              Model<float>::Workspace& work) {
  const int n = std::min(batch.rows, Chunks::tile(model_.parameter_count())), T = model_.tasks();
  z_.resize(static_cast<std::size_t>(n) * static_cast<std::size_t>(T));
  model_.forward(weights, sample(n, gather), work, {z_.data(), n, T},
                 {.row_weights = std::span(batch.weights).first(static_cast<std::size_t>(n))});
}

// A pass of its own, as rows are scored: no unit is dropped.
void ModelWatch::measure_importance(const Batch& batch, const float* weights, const Gather& gather,
                                    Model<float>::Workspace& work,
                                    const Importance::RowOf& row_of) {
  const int n = importance_.rows_of(batch), T = model_.tasks(), D = model_.inputs();
  const View<const float> x = sample(n, gather);
  z_.resize(static_cast<std::size_t>(n) * static_cast<std::size_t>(T));
  dz_.resize(z_.size());
  dx_.resize(static_cast<std::size_t>(n) * static_cast<std::size_t>(D));
  const View<float> z(z_.data(), n, T), dz(dz_.data(), n, T), dx(dx_.data(), n, D);
  const int tile = Chunks::tile(model_.parameter_count());
  for (int k = 0; k < T; ++k) {
    std::fill(dz_.begin(), dz_.end(), 0.0F);
    for (int r = 0; r < n; ++r) dz(r, k) = 1;
    for (int r = 0; r < n; r += tile) {
      const int rows = std::min(tile, n - r);
      // Backward passes of several tasks follow one forward pass, while nothing comes between.
      if (k == 0 || n > tile) {
        model_.forward(weights, x.rows_from(r, rows), work, z.rows_from(r, rows));
      }
      model_.backward(weights, x.rows_from(r, rows), work, dz.rows_from(r, rows), nullptr, false,
                      dx.rows_from(r, rows));
    }
    const std::vector<double> slope = by_loss_ ? loss_slopes(batch, k, z) : std::vector<double>();
    importance_.take(k, x, dx, slope);
    if (row_of) importance_.take_elements(k, batch, dx, slope, row_of);
  }
  importance_.add(batch);
}

// Of the task's own output; NaN where its label is not known or its condition fails.
std::vector<double> ModelWatch::loss_slopes(const Batch& batch, int task,
                                            View<const float> z) const {
  std::vector<double> slopes;
  const std::size_t T = schema_.tasks().size(), k = static_cast<std::size_t>(task);
  for (int r = 0; r < z.rows; ++r) {
    const std::size_t cell = static_cast<std::size_t>(r) * T + k;
    const float label = batch.labels[cell];
    const bool known = !std::isnan(label) && batch.condition[cell] == 1;
    slopes.push_back(known ? loss_slope(schema_.tasks()[k], z(r, task), label)
                           : std::numeric_limits<double>::quiet_NaN());
  }
  return slopes;
}

void ModelWatch::save(StateChanges& changes) {
  gates_.save(changes);
  lower_gates_.save(changes);
  importance_.save(changes);
}

bool ModelWatch::restore(std::string_view name, std::string_view bytes) {
  return gates_.restore(name, bytes) || lower_gates_.restore(name, bytes) ||
         importance_.restore(name, bytes);
}

}  // namespace millrace
