#include "learner/train/task_metrics.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "learner/base/hash.h"
#include "learner/data/label_units.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"

namespace millrace {
namespace {

// Outputs whose figures a report in parts makes anew.
constexpr std::size_t kRefreshedAtOnce = 8;

// A slice's mark is a whole number that a float holds: the slice, and above it what tells the
// options apart.
constexpr std::uint64_t kMarks = 1 << 24, kSlices = 512;
static_assert(SliceOptions::kMost < static_cast<int>(kSlices));

const std::vector<float>& measure_weights(const Batch& batch) {
  return batch.measure_weights.empty() ? batch.weights : batch.measure_weights;
}

// Of a recalibrated output: what scaling changes, and no more. (It keeps the order, so the AUC
// stays what it is.)
EvaluateOptions plain(EvaluateOptions options) {
  options.gauc_rows = options.exact_auc_rows = options.history.points = 0;
  return options;
}

}  // namespace

TaskMetrics::TaskMetrics(const Schema& schema, const EvaluateOptions& options,
                         const std::map<std::string, double>& recalibrate)
    : schema_(schema),
      options_(options),
      served_(schema),
      slices_(schema, options.slices),
      business_(schema, options) {
  if (slices_.count() > 0) {
    mark_ = static_cast<float>(hash_bytes(slices_.stamp()) % (kMarks / kSlices) * kSlices);
  }
  for (const Task& task : schema.tasks()) {
    const std::string name = "metrics/" + task.name;
    Of of{OutputMetrics(name, task.kind == TaskKind::kBinary, options, &slices_), {}, {}, {}};
    if (task.entire_space && task.given >= 0) {
      of.entire.emplace(name + "/entire", true, options, &slices_);
    }
    if (const auto rows = recalibrate.find(task.name); rows != recalibrate.end()) {
      recalibrates_ = true;
      of.line.emplace(rows->second);
      of.recalibrated.emplace(name + "/recalibrated", true, plain(options), &slices_);
    }
    tasks_.push_back(std::move(of));
  }
}

void TaskMetrics::advance(EventTime due) {
  for (Of& of : tasks_) {
    of.own.advance(due);
    if (of.entire) of.entire->advance(due);
    if (of.recalibrated) of.recalibrated->advance(due);
  }
  business_.advance(due);
}

void TaskMetrics::add(const Batch& batch, View<const float> z, const TaskLosses& losses,
                      const OutputStart& outputs) {
  advance(batch.due);
  const std::vector<int>& slices = slices_.take(batch);
  places_.assign(static_cast<std::size_t>(batch.rows), {});
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (!batch.users.empty()) places_[i].user = batch.users[i];
    if (!slices.empty()) places_[i].slice = slices[i];
  }
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    for (int i = 0; i < batch.rows; ++i) {
      add_row(batch, i, k, places_[static_cast<std::size_t>(i)], z, losses, outputs);
    }
  }
  if (business_.any()) add_business(batch, z, outputs);
  settle();
}

// What this batch told is applied from the next one on.
void TaskMetrics::settle() {
  for (Of& of : tasks_) {
    if (of.line) of.line->settle();
  }
}

void TaskMetrics::add_row(const Batch& batch, int i, int task, const RowPlace& place,
                          View<const float> z, const TaskLosses& losses,
                          const OutputStart& outputs) {
  const auto k = static_cast<std::size_t>(task);
  const std::size_t cell = static_cast<std::size_t>(i) * tasks_.size() + k;
  const float label = batch.labels[cell];
  if (std::isnan(label) || !losses.is_final(i, task)) return;
  Of& of = tasks_[k];
  const bool binary = schema_.tasks()[k].kind == TaskKind::kBinary;
  const bool condition = batch.condition[cell] == 1;
  Measurement m;
  m.weight = measure_weights(batch)[static_cast<std::size_t>(i)];
  m.label = label;
  if (served_.corrects(task) && binary) {
    std::optional<double> product;
    if (of.entire) product = served_.product(z.row(i), task);
    add_binary(of, {m.weight, label, condition, losses.is_learned(i), place},
               served_.own(z.row(i), task), product);
    return;
  }
  if (of.entire) {
    m.logit = losses.product_logit(i, task);
    m.prediction = math::sigmoid(m.logit);
    m.loss = losses.loss(i, task);
    of.entire->add(m, place);
  }
  if (!condition) return;
  m.logit = z(i, task);
  if (binary) {
    m.prediction = math::sigmoid(m.logit);
    m.loss = of.entire ? math::bce(m.logit, m.label).value : losses.loss(i, task);
  } else {
    m.label = in_label_units(schema_.tasks()[k].transform, label);
    m.prediction = served_value(z.row(i), task, outputs);
  }
  add_own(of, m, place, losses.is_learned(i));
}

double TaskMetrics::served_value(const float* z, int task, const OutputStart& outputs) const {
  const Task& of = schema_.tasks()[static_cast<std::size_t>(task)];
  if (of.kind == TaskKind::kBinary) {
    const double logit = served_.corrects(task) ? served_.own(z, task) : double{z[task]};
    const auto& line = tasks_[static_cast<std::size_t>(task)].line;
    return math::sigmoid(line ? line->apply(logit) : logit);
  }
  return outputs.value(z[task], task);
}

// Labels and predictions of each row, in the units in which they are served.
void TaskMetrics::add_business(const Batch& batch, View<const float> z,
                               const OutputStart& outputs) {
  const std::size_t T = tasks_.size();
  std::vector<float> labels(T), predictions(T);
  for (int i = 0; i < batch.rows; ++i) {
    const std::size_t row = static_cast<std::size_t>(i) * T;
    const std::span<const float> written(batch.labels.data() + row, T);
    if (!business_.wants(written)) continue;
    for (std::size_t k = 0; k < T; ++k) {
      const Task& task = schema_.tasks()[k];
      const bool binary = task.kind == TaskKind::kBinary;
      labels[k] =
          binary ? written[k] : static_cast<float>(in_label_units(task.transform, written[k]));
      predictions[k] = static_cast<float>(served_value(z.row(i), static_cast<int>(k), outputs));
    }
    business_.add(labels, {batch.condition.data() + row, T}, predictions,
                  measure_weights(batch)[static_cast<std::size_t>(i)]);
  }
}

void TaskMetrics::add_own(Of& of, const Measurement& row, const RowPlace& place, bool is_learned) {
  of.own.add(row, place);
  const auto task = static_cast<std::size_t>(&of - tasks_.data());
  if (of.line) {
    Measurement served = row;
    served.logit = of.line->apply(row.logit);
    served.prediction = math::sigmoid(served.logit);
    served.loss = math::bce(served.logit, row.label).value;
    of.recalibrated->add(served, place);
    const bool learns = learns_.empty() || learns_[task] != 0;
    if (learns && is_learned) of.line->learn(row.logit, row.label, row.weight);
  }
  if (observer_) observer_(static_cast<int>(task), row, place.user);
}

// One row of a binary task, from its served logits.
void TaskMetrics::add_binary(Of& of, const Row& row, double own, std::optional<double> product) {
  const auto measurement = [&](double logit) {
    return Measurement{row.weight, row.label, math::sigmoid(logit), logit,
                       math::bce(logit, row.label).value};
  };
  if (of.entire && product) of.entire->add(measurement(*product), row.place);
  if (row.condition) add_own(of, measurement(own), row.place, row.is_learned);
}

std::vector<float> TaskMetrics::slice_marks(const Batch& batch) {
  std::vector<float> marks;
  for (const int slice : slices_.take(batch)) {
    marks.push_back(mark_ + static_cast<float>(slice));
  }
  return marks;
}

// A row that was marked under other options is of no known slice.
int TaskMetrics::slice_of_mark(float mark) const {
  if (slices_.count() == 0) return 0;
  const auto slice = static_cast<int>(mark - mark_);
  return mark < mark_ || slice >= slices_.count() ? slices_.other() : slice;
}

void TaskMetrics::add(const MeasuredLabels& labels, EventTime due, FirstScores& scores) {
  const std::size_t T = tasks_.size();
  if (labels.count() > 0) advance(due);
  for (std::size_t i = 0; i < labels.keys.size(); ++i) {
    const auto row = labels.labels.begin() + static_cast<std::ptrdiff_t>(i * T);
    const bool any = std::any_of(row, row + static_cast<std::ptrdiff_t>(T),
                                 [](float label) { return !std::isnan(label); });
    const float* logits = any ? scores.find(labels.keys[i]) : nullptr;
    for (std::size_t k = 0; k < T && logits != nullptr; ++k) {
      const int task = static_cast<int>(k);
      const float label = labels.labels[i * T + k];
      if (std::isnan(label) || scores.own(task) < 0) continue;
      std::optional<double> product;
      if (scores.product(task) >= 0) product = logits[scores.product(task)];
      const RowPlace place{labels.users.empty() ? 0 : labels.users[i],
                           slice_of_mark(logits[scores.mark()])};
      add_binary(tasks_[k],
                 {labels.weights[i], label, labels.condition[i * T + k] == 1, true, place},
                 logits[scores.own(task)], product);
    }
    if (labels.last[i] != 0) scores.erase(labels.keys[i]);
  }
  settle();
}

std::vector<LogitLine> TaskMetrics::recalibration() const {
  std::vector<LogitLine> lines;
  if (!recalibrates_) return lines;
  for (const Of& of : tasks_) lines.push_back(of.line ? of.line->line() : LogitLine{});
  return lines;
}

std::vector<const OutputMetrics*> TaskMetrics::outputs() const {
  std::vector<const OutputMetrics*> outputs;
  for (const Of& of : tasks_) {
    outputs.push_back(&of.own);
    if (of.entire) outputs.push_back(&*of.entire);
    if (of.recalibrated) outputs.push_back(&*of.recalibrated);
  }
  return outputs;
}

void TaskMetrics::refresh(bool whole) const {
  const std::vector<const OutputMetrics*> all = outputs();
  std::size_t left = whole ? all.size() : kRefreshedAtOnce;
  for (std::size_t i = 0; i < all.size() && left > 0; ++i) {
    const OutputMetrics& output = *all[next_ % all.size()];
    ++next_;
    if (!output.is_stale()) continue;
    output.refresh();
    --left;
  }
  next_ %= all.size();
}

void TaskMetrics::report(int task, TaskReport& report) const {
  const auto k = static_cast<std::size_t>(task);
  const Of& of = tasks_[k];
  static_cast<OutputReport&>(report) = of.own.report();
  report.name = schema_.tasks()[k].name;
  report.kind = schema_.tasks()[k].kind;
  report.binary = report.kind == TaskKind::kBinary;
  if (of.line) report.recalibrated = {of.line->line(), of.recalibrated->report()};
  if (!of.entire) return;
  report.entire = of.entire->report();
  const auto given = static_cast<std::size_t>(schema_.tasks()[k].given);
  const Of& condition = tasks_[given];
  if (schema_.tasks()[given].given >= 0 && !condition.entire) return;  // on its condition's rows
  const OutputReport& by = (condition.entire ? *condition.entire : condition.own).report();
  report.by_division = {division_of(report.entire->all, by.all),
                        division_of(report.entire->window, by.window),
                        division_of(report.entire->last_fifth, by.last_fifth)};
}

std::vector<CompositeReport> TaskMetrics::composites() const {
  const auto composite = [&](std::string window, auto&& figures) {
    std::vector<CompositePart> parts;
    // What counts and is not this model's has no score.
    for (const auto& [task, weight] : options_.composite) {
      if (schema_.find_task(task) < 0) parts.push_back({weight, std::nullopt});
    }
    for (std::size_t k = 0; k < tasks_.size(); ++k) {
      const Task& task = schema_.tasks()[k];
      const auto given = options_.composite.find(task.name);
      const double weight = options_.composite.empty()          ? 1
                            : given == options_.composite.end() ? 0
                                                                : given->second;
      const bool binary = task.kind == TaskKind::kBinary;
      parts.push_back({weight, composite_score(figures(tasks_[k].own.report()), binary,
                                               options_.composite_measure)});
    }
    return CompositeReport{std::move(window), composite_of(parts)};
  };
  using Report = const OutputReport&;
  std::vector<CompositeReport> all{
      composite("all", [](Report of) { return of.all; }),
      composite("window", [](Report of) { return of.window; }),
      composite("last_fifth", [](Report of) { return of.last_fifth; })};
  const auto spans = spans_of(options_);
  for (std::size_t s = 0; s < spans.size(); ++s) {
    all.push_back(composite(spans[s].first, [s](Report of) {
      return s < of.spans.size() ? of.spans[s].figures : Figures();
    }));
  }
  return all;
}

void TaskMetrics::save(StateChanges& changes) {
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    Of& of = tasks_[k];
    of.own.save(changes);
    if (of.entire) of.entire->save(changes);
    if (!of.line) continue;
    of.recalibrated->save(changes);
    ByteWriter writer;
    of.line->save(writer);
    changes.values.push_back({"metrics/" + schema_.tasks()[k].name + "/line", writer.take()});
  }
  slices_.save(changes);
  business_.save(changes);
  for (std::string& name : std::exchange(left_over_, {})) {
    changes.values.push_back({std::move(name), "", false});
  }
}

// Of a task that is recalibrated no more it is passed over, and emptied by the next commit: were
// it recalibrated again, it would begin where another stream of scores had left it.
bool TaskMetrics::restore_line(std::size_t task, std::string_view name, std::string_view bytes) {
  const std::string prefix = "metrics/" + schema_.tasks()[task].name;
  Of& of = tasks_[task];
  const bool is_line = name == prefix + "/line";
  if (!is_line && !name_after(name, prefix + "/recalibrated")) return false;
  if (bytes.empty()) return true;
  if (!of.line) {
    left_over_.emplace_back(name);
    return true;
  }
  if (!is_line) return of.recalibrated->restore(name, bytes);
  ByteReader reader(bytes);
  of.line->restore(reader);
  if (!reader.at_end()) throw StateError("a saved recalibration has a wrong size");
  return true;
}

bool TaskMetrics::restore(std::string_view name, std::string_view bytes) {
  if (slices_.restore(name, bytes) || business_.restore(name, bytes)) return true;
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    Of& of = tasks_[k];
    if (restore_line(k, name, bytes) || of.own.restore(name, bytes)) return true;
    if (of.entire && of.entire->restore(name, bytes)) return true;
  }
  return false;
}

}  // namespace millrace
