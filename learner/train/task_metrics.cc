#include "learner/train/task_metrics.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "learner/data/label_units.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"

namespace millrace {

TaskMetrics::TaskMetrics(const Schema& schema) : schema_(schema), served_(schema) {
  for (const Task& task : schema.tasks()) {
    const std::string name = "metrics/" + task.name;
    Of of{OutputMetrics(name, task.kind == TaskKind::kBinary), std::nullopt};
    if (task.entire_space && task.given >= 0) of.entire.emplace(name + "/entire", true);
    tasks_.push_back(std::move(of));
  }
}

void TaskMetrics::add(const Batch& batch, View<const float> z, const TaskLosses& losses,
                      const OutputStart& outputs) {
  const std::size_t T = tasks_.size();
  const std::vector<float>& weights =
      batch.measure_weights.empty() ? batch.weights : batch.measure_weights;
  for (std::size_t k = 0; k < T; ++k) {
    const int task = static_cast<int>(k);
    const bool binary = schema_.tasks()[k].kind == TaskKind::kBinary;
    const Transform transform = schema_.tasks()[k].transform;
    Of& of = tasks_[k];
    for (int i = 0; i < batch.rows; ++i) {
      const std::size_t cell = static_cast<std::size_t>(i) * T + k;
      const float label = batch.labels[cell];
      if (std::isnan(label) || !losses.is_final(i, task)) continue;
      Measurement m;
      m.weight = weights[static_cast<std::size_t>(i)];
      m.label = label;
      const bool condition = batch.condition[cell] == 1;
      if (served_.corrects(task) && binary) {
        std::optional<double> product;
        if (of.entire) product = served_.product(z.row(i), task);
        add_binary(of, m.weight, label, condition, served_.own(z.row(i), task), product);
        continue;
      }
      if (of.entire) {
        m.logit = losses.product_logit(i, task);
        m.prediction = math::sigmoid(m.logit);
        m.loss = losses.loss(i, task);
        of.entire->add(m);
      }
      if (!condition) continue;
      m.logit = z(i, task);
      if (binary) {
        m.prediction = math::sigmoid(m.logit);
        m.loss = of.entire ? math::bce(m.logit, m.label).value : losses.loss(i, task);
      } else {
        m.label = in_label_units(transform, label);
        m.prediction = outputs.value(z(i, task), task);
      }
      of.own.add(m);
    }
  }
}

// One row of a binary task, from its served logits.
void TaskMetrics::add_binary(Of& of, double weight, double label, bool condition, double own,
                             std::optional<double> product) const {
  const auto measurement = [&](double logit) {
    return Measurement{weight, label, math::sigmoid(logit), logit, math::bce(logit, label).value};
  };
  if (of.entire && product) of.entire->add(measurement(*product));
  if (condition) of.own.add(measurement(own));
}

void TaskMetrics::add(const MeasuredLabels& labels, FirstScores& scores) {
  const std::size_t T = tasks_.size();
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
      add_binary(tasks_[k], labels.weights[i], label, labels.condition[i * T + k] == 1,
                 logits[scores.own(task)], product);
    }
    if (labels.last[i] != 0) scores.erase(labels.keys[i]);
  }
}

void TaskMetrics::report(int task, TaskReport& report) const {
  const auto k = static_cast<std::size_t>(task);
  const Of& of = tasks_[k];
  report.name = schema_.tasks()[k].name;
  report.kind = schema_.tasks()[k].kind;
  report.binary = report.kind == TaskKind::kBinary;
  report.all = of.own.all();
  report.window = of.own.window();
  report.last_fifth = of.own.last_fifth();
  if (!of.entire) return;
  report.entire_all = of.entire->all();
  report.entire_window = of.entire->window();
  report.entire_last_fifth = of.entire->last_fifth();
}

void TaskMetrics::save(StateChanges& changes) {
  for (Of& of : tasks_) {
    of.own.save(changes);
    if (of.entire) of.entire->save(changes);
  }
}

bool TaskMetrics::restore(std::string_view name, std::string_view bytes) {
  return std::any_of(tasks_.begin(), tasks_.end(), [&](Of& of) {
    return of.own.restore(name, bytes) || (of.entire && of.entire->restore(name, bytes));
  });
}

}  // namespace millrace
