#include "ingest/join/windows.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr Duration kLongest{std::int64_t{1} << 62};

Duration cut(Duration duration) { return std::min(duration, kLongest); }

int depth_of(const Schema& schema, int task) {
  int depth = 0;
  while ((task = schema.tasks()[static_cast<std::size_t>(task)].given) >= 0) ++depth;
  return depth;
}

}  // namespace

Windows::Windows(const Schema& schema, const EventTypes& types, std::span<const LabelSource> labels,
                 Duration allowed_lateness)
    : tasks_of_(types.outcomes.size()),
      offset_(schema.tasks().size(), Duration{0}),
      short_wait_(schema.tasks().size(), Duration{0}),
      lateness_(cut(allowed_lateness)) {
  MILLRACE_CHECK(labels.size() == schema.tasks().size());
  for (const OutcomeType& type : types.outcomes) window_.push_back(cut(type.window));

  std::vector<std::pair<int, int>> by_depth;  // (depth, task): a condition before its tasks
  for (int k = 0; k < static_cast<int>(labels.size()); ++k) {
    if (labels[static_cast<std::size_t>(k)].outcome >= 0)
      by_depth.push_back({depth_of(schema, k), k});
  }
  std::sort(by_depth.begin(), by_depth.end());
  for (const auto& [depth, task] : by_depth) {
    const auto k = static_cast<std::size_t>(task);
    const int type = labels[k].outcome;
    MILLRACE_CHECK(type < static_cast<int>(types.outcomes.size()));
    labelled_.add(task);
    tasks_of_[static_cast<std::size_t>(type)].add(task);
    offset_[k] = window_[static_cast<std::size_t>(type)];
    const int given = schema.tasks()[k].given;
    if (given >= 0 && labelled_.has(given)) {
      offset_[k] = std::max(offset_[k], offset_[static_cast<std::size_t>(given)]);
    }
    order_.push_back(task);
  }
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int a, int b) { return offset(a) < offset(b); });
  for (int k = 0; k < static_cast<int>(labels.size()); ++k) {
    const Task& task = schema.tasks()[static_cast<std::size_t>(k)];
    if (!labelled_.has(k) || !has_short_wait(task.policy)) continue;
    const Duration first = std::min(task.short_wait, offset(k));
    const bool repeats = task.policy == FeedbackPolicy::kDfm;
    short_wait_[static_cast<std::size_t>(k)] = first;
    looks_.push_back({first, k, repeats});
    if (!repeats || first.count() <= 0) continue;
    for (Duration after = first; after < (offset(k) + Duration{kLookGrowth - 1}) / kLookGrowth;) {
      after *= kLookGrowth;
      looks_.push_back({after, k, repeats});
    }
  }
  std::stable_sort(looks_.begin(), looks_.end(),
                   [](const Look& a, const Look& b) { return a.after < b.after; });
}

EventTime Windows::next_due(EventTime time, const TaskSet& open) const {
  for (const int task : order_) {
    if (open.has(task)) return time + offset(task);
  }
  return EventTime::after_all();
}

bool Windows::is_inside(int type, EventTime impression, EventTime outcome) const {
  const Duration distance = outcome - impression;
  return -lateness_ <= distance && distance <= window_[static_cast<std::size_t>(type)];
}

}  // namespace millrace
