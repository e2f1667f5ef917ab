#include "learner/data/projection.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

std::vector<int> all_of(std::size_t count) {
  std::vector<int> all(count);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

bool is_ascending(const std::vector<int>& indices) {
  return !indices.empty() && std::adjacent_find(indices.begin(), indices.end(),
                                                std::greater_equal<>()) == indices.end();
}

int place_of(const std::vector<int>& indices, int index) {
  const auto at = std::lower_bound(indices.begin(), indices.end(), index);
  return at != indices.end() && *at == index ? static_cast<int>(at - indices.begin()) : -1;
}

Schema schema_of(const Schema& stream, const std::vector<int>& task_indices,
                 const std::vector<int>& feature_indices) {
  MILLRACE_CHECK(is_ascending(task_indices) && is_ascending(feature_indices));
  std::vector<Feature> features;
  for (const int f : feature_indices) {
    features.push_back(stream.features()[static_cast<std::size_t>(f)]);
  }
  std::vector<Task> tasks;
  for (const int t : task_indices) {
    Task task = stream.tasks()[static_cast<std::size_t>(t)];
    if (task.given >= 0) {
      task.given = place_of(task_indices, task.given);
      task.entire_space = task.entire_space && task.given >= 0;
      MILLRACE_CHECK(task.given >= 0 || task.policy == FeedbackPolicy::kWait);
    }
    tasks.push_back(std::move(task));
  }
  return {std::move(features), std::move(tasks)};
}

// Keeps of each row of `from` values those in `kept` (ascending).
template <class T>
void cut_columns(std::vector<T>& values, std::size_t from, const std::vector<int>& kept) {
  if (values.empty() || kept.size() == from) return;
  const std::size_t rows = values.size() / from;
  auto out = values.begin();
  for (std::size_t r = 0; r < rows; ++r) {
    for (const int k : kept) *out++ = values[r * from + static_cast<std::size_t>(k)];
  }
  values.erase(out, values.end());
}

}  // namespace

Projection::Projection(const Schema& stream)
    : Projection(stream, all_of(stream.tasks().size()), all_of(stream.features().size())) {}

Projection::Projection(const Schema& stream, std::vector<int> tasks, std::vector<int> features)
    : tasks_(std::move(tasks)),
      features_(std::move(features)),
      schema_(schema_of(stream, tasks_, features_)),
      stream_tasks_(stream.tasks().size()),
      stream_numbers_(stream.numeric_features().size()),
      stream_dense_(static_cast<std::size_t>(stream.dense_width())),
      all_tasks_(tasks_.size() == stream.tasks().size()) {
  whole_ = all_tasks_ && features_.size() == stream.features().size();
  for (const int t : tasks_) {
    const int given = stream.tasks()[static_cast<std::size_t>(t)].given;
    alone_.push_back(given >= 0 && place_of(tasks_, given) < 0);
  }
  const auto places = [&](const std::vector<int>& of_kind, std::vector<std::size_t>& kept) {
    for (std::size_t i = 0; i < of_kind.size(); ++i) {
      if (place_of(features_, of_kind[i]) >= 0) kept.push_back(i);
    }
  };
  places(stream.key_features(), columns_);
  places(stream.numeric_features(), numbers_);
  std::size_t from = 0;
  for (const int f : stream.dense_features()) {
    const auto width = static_cast<std::size_t>(stream.input_width(f));
    if (place_of(features_, f) >= 0) dense_.push_back({from, width});
    from += width;
  }
}

void Projection::apply(const Batch& batch, Batch& out) const {
  out = batch;
  if (whole_) return;
  cut_features(out);
  cut_tasks(out);
}

void Projection::cut_features(Batch& batch) const {
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (columns_[c] != c) std::swap(batch.columns[c], batch.columns[columns_[c]]);
  }
  batch.columns.resize(columns_.size());
  const auto rows = static_cast<std::size_t>(batch.rows);
  auto number = batch.numeric.begin();
  for (std::size_t r = 0; r < rows && numbers_.size() < stream_numbers_; ++r) {
    for (const std::size_t n : numbers_) *number++ = batch.numeric[r * stream_numbers_ + n];
  }
  if (numbers_.size() < stream_numbers_) batch.numeric.erase(number, batch.numeric.end());
  std::size_t width = 0;
  for (const Part& part : dense_) width += part.width;
  if (width == stream_dense_) return;
  auto value = batch.dense.begin();
  for (std::size_t r = 0; r < rows; ++r) {
    for (const Part& part : dense_) {
      const auto first =
          batch.dense.begin() + static_cast<std::ptrdiff_t>(r * stream_dense_ + part.from);
      value = std::copy_n(first, part.width, value);
    }
  }
  batch.dense.erase(value, batch.dense.end());
}

void Projection::cut_tasks(Batch& batch) const {
  const auto cut = [&](std::vector<float>& labels, std::vector<std::uint8_t>& condition) {
    cut_columns(labels, stream_tasks_, tasks_);
    cut_columns(condition, stream_tasks_, tasks_);
    for (std::size_t cell = 0; cell < labels.size(); ++cell) {
      if (alone_[cell % tasks_.size()] == 0) continue;
      if (condition[cell] != 1) labels[cell] = std::numeric_limits<float>::quiet_NaN();
      condition[cell] = 1;
    }
  };
  cut(batch.labels, batch.condition);
  cut(batch.measured.labels, batch.measured.condition);
  cut_columns(batch.certain, stream_tasks_, tasks_);
  cut_columns(batch.origin, stream_tasks_, tasks_);
  cut_columns(batch.targets, stream_tasks_, tasks_);
  cut_columns(batch.since, stream_tasks_, tasks_);
  cut_columns(batch.until, stream_tasks_, tasks_);
}

}  // namespace millrace
