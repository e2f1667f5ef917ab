#include "ingest/join/labels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

Labels::Labels(const Schema& schema, const Windows& windows, std::vector<LabelSource> sources)
    : schema_(schema),
      windows_(windows),
      sources_(std::move(sources)),
      feedback_(schema, windows, sources_),
      decided_(schema.tasks().size(), Decided::kNo) {
  MILLRACE_CHECK(sources_.size() == schema.tasks().size());
  for (const Task& task : schema.tasks()) {
    MILLRACE_CHECK(task.policy == FeedbackPolicy::kWait || task.kind == TaskKind::kBinary);
  }
}

void Labels::blank(JoinedRow& row) const {
  const std::size_t T = sources_.size();
  row.labels.assign(T, kMissing);
  row.condition.resize(T);
  row.counts.assign(T, 1);
  for (std::size_t k = 0; k < T; ++k) row.condition[k] = schema_.tasks()[k].given < 0 ? 1 : 0;
  if (!schema_.has_immediate()) return;
  row.origin.assign(T, Origin::kFinal);
  row.targets.assign(T, 0);
  row.measured.assign(T, kMissing);
  if (!schema_.has_delays()) return;
  row.since.assign(T, 0);
  row.until.assign(T, kMissing);
}

// What is known of the task's condition. A condition decided in an earlier row was 1, else the task
// would not be open; one that is never decided is missing.
Labels::Decided Labels::condition_of(int task, const TaskSet& open_before) const {
  const int given = schema_.tasks()[at(task)].given;
  if (given < 0) return Decided::kOne;
  if (!windows_.labelled().has(given)) return Decided::kNotOne;
  return open_before.has(given) ? decided_[at(given)] : Decided::kOne;
}

void Labels::decide(WaitingImpression& impression, EventTime due, const ColdStart& cold_start,
                    JoinedRow& row) {
  blank(row);
  const TaskSet open_before = impression.open;
  for (const int k : windows_.order()) {
    if (!open_before.has(k)) continue;
    const Task& task = schema_.tasks()[at(k)];
    const Decided condition = condition_of(k, open_before);
    row.condition[at(k)] = condition == Decided::kOne ? 1 : 0;
    // A condition that is not labelled at all decides nothing ahead of time.
    const bool dragged = condition == Decided::kNotOne && windows_.labelled().has(task.given);
    decided_[at(k)] = Decided::kNo;
    if (impression.time + windows_.offset(k) != due && !dragged) continue;

    impression.open.remove(k);
    double label = kMissing;
    bool first_counts = true;
    if (condition == Decided::kOne) {
      label = own_label(k, impression);
    } else if (task.kind == TaskKind::kBinary && task.entire_space) {
      label = 0;
      row.counts[at(k)] = cold_start.covers(due, windows_.offset(k)) ? 0 : 1;
      first_counts = !cold_start.covers(due, windows_.short_wait(k));
    }
    decided_[at(k)] = label == 1 ? Decided::kOne : Decided::kNotOne;
    if (feedback_.tasks().has(k)) {
      feedback_.decided(impression, k, label, first_counts, row);
    } else if (!impression.is_carried(k)) {
      row.labels[at(k)] = label;
    }
  }
  const TaskSet& immediate = feedback_.tasks();
  row.keeps_score = immediate.intersects(open_before);
  row.is_last = row.keeps_score && !immediate.intersects(impression.open);
}

double Labels::own_label(int task, const WaitingImpression& impression) {
  const LabelSource& source = sources_[at(task)];
  const bool any = impression.has_applied(source.outcome);
  if (schema_.tasks()[at(task)].kind == TaskKind::kBinary) return any ? 1 : 0;
  if (!any) return source.absent.value_or(kMissing);
  return aggregate(source, impression);
}

double Labels::aggregate(const LabelSource& source, const WaitingImpression& impression) {
  const auto [first, last] = impression.applied->equal_range(source.outcome);
  if (source.aggregate == Aggregate::kCount) {
    return static_cast<double>(std::distance(first, last));
  }
  values_.clear();
  for (auto outcome = first; outcome != last; ++outcome) {
    if (outcome->value) values_.push_back({outcome->time, *outcome->value});
  }
  if (values_.empty()) return source.absent.value_or(kMissing);
  std::sort(values_.begin(), values_.end(), [](const Applied& a, const Applied& b) {
    return std::tie(a.time, a.value) < std::tie(b.time, b.value);
  });
  if (source.aggregate == Aggregate::kLast) return values_.back().value;
  double result = values_[0].value;
  for (std::size_t i = 1; i < values_.size(); ++i) {
    const double value = values_[i].value;
    result = source.aggregate == Aggregate::kSum ? result + value : std::max(result, value);
  }
  return std::isfinite(result) ? result : kMissing;  // a sum may overflow
}

void Labels::joined(std::vector<double> labels, JoinedRow& row) const {
  MILLRACE_CHECK(labels.size() == sources_.size());
  blank(row);
  for (std::size_t k = 0; k < labels.size(); ++k) {
    const int given = schema_.tasks()[k].given;
    if (given >= 0) row.condition[k] = labels[at(given)] == 1 ? 1 : 0;
  }
  row.labels = std::move(labels);
  row.is_sample = true;
}

}  // namespace millrace
