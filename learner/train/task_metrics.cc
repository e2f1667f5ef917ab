#include "learner/train/task_metrics.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "learner/data/label_units.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"

namespace millrace {

TaskMetrics::TaskMetrics(const Schema& schema) : schema_(schema) {
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
  for (std::size_t k = 0; k < T; ++k) {
    const int task = static_cast<int>(k);
    if (losses.is_fnw(task)) continue;
    const bool binary = schema_.tasks()[k].kind == TaskKind::kBinary;
    const Transform transform = schema_.tasks()[k].transform;
    Of& of = tasks_[k];
    for (int i = 0; i < batch.rows; ++i) {
      const std::size_t cell = static_cast<std::size_t>(i) * T + k;
      const float label = batch.labels[cell];
      if (std::isnan(label)) continue;
      Measurement m;
      m.weight = batch.weights[static_cast<std::size_t>(i)];
      m.label = label;
      if (of.entire) {
        m.logit = losses.product_logit(i, task);
        m.prediction = math::sigmoid(m.logit);
        m.loss = losses.loss(i, task);
        of.entire->add(m);
      }
      if (batch.condition[cell] != 1) continue;
      m.logit = z(i, task);
      if (binary) {
        m.prediction = math::sigmoid(m.logit);
        m.loss = of.entire ? math::bce(m.logit, m.label).value : losses.loss(i, task);
      } else {
        m.label = in_label_units(transform, label);
        m.prediction = in_label_units(transform, outputs.clamp(z(i, task), task));
      }
      of.own.add(m);
    }
  }
}

void TaskMetrics::report(int task, TaskReport& report) const {
  const auto k = static_cast<std::size_t>(task);
  const Of& of = tasks_[k];
  report.name = schema_.tasks()[k].name;
  report.binary = schema_.tasks()[k].kind == TaskKind::kBinary;
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
