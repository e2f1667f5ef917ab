#include "ops/compare/linear_comparison.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kFifths = 5;
constexpr std::uint64_t kLeastOfAClass = 10;  // for an interval

std::optional<double> auc_figure(const Figures& figures) { return figures.auc; }
std::optional<double> log_loss_figure(const Figures& figures) { return figures.log_loss; }

Figures figures_of(const std::vector<SparseTally>& units) {
  Tally tally(true);
  for (const SparseTally& unit : units) tally.add(unit);
  return tally.figures();
}

// A few labels of a class are
// drawn again and again as they are, and would seem to be sure.
LinearDifference difference(const std::vector<SparseTally>& linear,
                            const std::vector<SparseTally>& model, const FigureOf& figure,
                            const BootstrapOptions& options) {
  LinearDifference out;
  const Figures of_linear = figures_of(linear), of_model = figures_of(model);
  const std::optional<double> a = figure(of_linear), b = figure(of_model);
  if (!a || !b) return out;
  out.value = *b - *a;
  if (std::min(of_model.positives, of_model.rows - of_model.positives) >= kLeastOfAClass) {
    out.interval = bootstrap_difference(linear, model, true, figure, options);
  }
  return out;
}

// A rate as it is written: 0.1, not the float's 0.10000000149.
LinearTask::Rate rate_of(float rate, const Figures& figures) {
  return {std::round(rate * 1e6) / 1e6, figures.auc, figures.log_loss};
}

// The best by AUC; where none has one, by log loss.
std::size_t best_of(const std::vector<LinearTask::Rate>& rates) {
  const auto better = [](const LinearTask::Rate& a, const LinearTask::Rate& b) {
    if (a.auc && b.auc) return *a.auc > *b.auc;
    if (a.auc || b.auc) return a.auc.has_value();
    return a.log_loss && b.log_loss && *a.log_loss < *b.log_loss;
  };
  return static_cast<std::size_t>(std::min_element(rates.begin(), rates.end(), better) -
                                  rates.begin());
}

class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum) {}
  ~Stopwatch() {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_;
    sum_ += took.count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& sum_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

LinearBaselineOptions in_whole_batches(LinearBaselineOptions options) {
  options.whole_batches = true;
  return options;
}

}  // namespace

std::vector<std::size_t> cut_by_rows(const std::vector<SparseTally>& blocks, std::size_t parts) {
  std::uint64_t all = 0, before = 0;
  for (const SparseTally& block : blocks) all += block.sums.rows;
  std::vector<std::size_t> cuts{0};
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::uint64_t twice_middle = 2 * before + blocks[b].sums.rows;
    // The first block whose middle is in the next part, or beyond it, begins that.
    while (cuts.size() < parts && twice_middle * parts >= 2 * all * cuts.size()) cuts.push_back(b);
    before += blocks[b].sums.rows;
  }
  cuts.resize(parts + 1, blocks.size());
  return cuts;
}

LinearComparison::LinearComparison(const Schema& schema, std::size_t most_scored_rows)
    : schema_(schema), by_row_(schema, options_), by_batch_(schema, in_whole_batches(options_)) {
  for (std::size_t k = 0; k < by_row_.tasks().size(); ++k) {
    OfTask& task = tasks_.emplace_back();
    for (std::size_t r = 0; r < options_.rates.size(); ++r) {
      task.outputs.push_back(std::make_unique<ComparedOutput>(true, most_scored_rows));
      task.same_steps.emplace_back(true);
    }
  }
}

void LinearComparison::follow(Trainers& trainers) {
  by_row_.observe([this, &trainers](std::size_t task, std::size_t rate, const Measurement& row,
                                    std::uint64_t user) {
    tasks_[task].outputs[rate]->add(row, user, trainers.rows_before());
  });
  by_batch_.observe([this](std::size_t task, std::size_t rate, const Measurement& row,
                           std::uint64_t) { tasks_[task].same_steps[rate].add(row); });
  trainers.follow([this](const Batch& batch) {
    const Stopwatch watch(row_seconds_);
    by_row_.train(batch);
  });
  trainers.follow([this](const Batch& batch) {
    const Stopwatch watch(batch_seconds_);
    by_batch_.train(batch);
  });
}

LinearReport LinearComparison::finish() {
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    OfTask& of = tasks_[k];
    LinearTask task;
    task.name = schema_.tasks()[static_cast<std::size_t>(by_row_.tasks()[k])].name;
    std::vector<LinearTask::Rate> same_steps;
    for (std::size_t r = 0; r < options_.rates.size(); ++r) {
      of.outputs[r]->finish();
      const float rate = options_.rates[r];
      task.rates.push_back(rate_of(rate, figures_of(of.outputs[r]->blocks())));
      same_steps.push_back(rate_of(rate, of.same_steps[r].figures()));
    }
    of.best = best_of(task.rates);
    task.rate = task.rates[of.best].rate;
    task.all = figures_of(of.outputs[of.best]->blocks());
    task.same_steps = same_steps[best_of(same_steps)];
    // The others have said what they had to say.
    for (std::size_t r = 0; r < of.outputs.size(); ++r) {
      if (r != of.best) of.outputs[r].reset();
    }
    report_.tasks.push_back(std::move(task));
  }
  report_.steps = by_row_.steps();
  report_.batches = by_batch_.steps();
  report_.keys = by_row_.keys();
  report_.left_out = by_row_.left_out();
  report_.bytes = by_row_.bytes() + by_batch_.bytes();
  report_.seconds = row_seconds_ + batch_seconds_;
  return report_;
}

std::size_t LinearComparison::place_of(int task) const {
  const std::vector<int>& tasks = by_row_.tasks();
  return static_cast<std::size_t>(std::find(tasks.begin(), tasks.end(), task) - tasks.begin());
}

const ComparedOutput* LinearComparison::output(int task) const {
  const std::size_t place = place_of(task);
  return place < tasks_.size() ? tasks_[place].outputs[tasks_[place].best].get() : nullptr;
}

AgainstLinear LinearComparison::against(int task, const ComparedOutput& model, const Figures& all,
                                        std::uint64_t steps, std::uint64_t learned,
                                        const BootstrapOptions& options) const {
  const LinearTask& linear = report_.tasks[place_of(task)];
  AgainstLinear out;
  out.model_auc = all.auc;
  out.linear_auc = linear.all.auc;
  out.model_calibration = all.calibration;
  out.linear_calibration = linear.all.calibration;
  out.same_steps_auc = linear.same_steps.auc;
  out.steps = steps;
  out.learned = learned;
  out.linear_steps = report_.steps;
  out.rows = all.rows;
  out.positives = all.positives;
  const PairedUnits units = paired_units(*output(task), model);
  out.auc = difference(units.a, units.b, auc_figure, options);
  out.log_loss = difference(units.a, units.b, log_loss_figure, options);
  const PairedUnits blocks = paired_blocks(*output(task), model);
  const std::vector<std::size_t> cuts = cut_by_rows(blocks.b, kFifths);
  for (std::size_t f = 0; f < kFifths; ++f) {
    const auto part = [&](const std::vector<SparseTally>& of) {
      return std::vector<SparseTally>(of.begin() + static_cast<std::ptrdiff_t>(cuts[f]),
                                      of.begin() + static_cast<std::ptrdiff_t>(cuts[f + 1]));
    };
    const std::vector<SparseTally> a = part(blocks.a), b = part(blocks.b);
    const std::optional<double> of_a = figures_of(a).auc, of_b = figures_of(b).auc;
    out.fifths.push_back(of_a && of_b ? std::optional(*of_b - *of_a) : std::nullopt);
    if (f + 1 == kFifths) out.late = difference(a, b, auc_figure, options);
  }
  return out;
}

}  // namespace millrace
