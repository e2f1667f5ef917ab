#include "learner/train/linear_baseline.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"

namespace millrace {
namespace {

constexpr float kFirstSquares = 0.1F;  // n_0: the first steps are not all of the whole rate.
constexpr double kPriorLabels = 1'000;
constexpr std::uint32_t kNotTouched = std::numeric_limits<std::uint32_t>::max();

// Of a key: its header and its share of a full index.
constexpr std::size_t kBytesBesideWeights = 16 + 14;

// The key of a feature's value, by itself even where a table is shared.
std::uint64_t own_key(std::size_t column, std::uint64_t key) {
  const std::uint64_t own = mix_bits(key ^ mix_bits(column + 1));
  return own == kMissingKey ? 1 : own;
}

}  // namespace

std::vector<int> LinearBaseline::tasks_of(const Schema& schema) {
  std::vector<int> tasks;
  for (std::size_t k = 0; k < schema.tasks().size(); ++k) {
    const Task& task = schema.tasks()[k];
    if (task.kind == TaskKind::kBinary && task.policy == FeedbackPolicy::kWait) {
      tasks.push_back(static_cast<int>(k));
    }
  }
  return tasks;
}

LinearBaseline::LinearBaseline(const Schema& schema, LinearBaselineOptions options)
    : schema_(schema),
      options_(std::move(options)),
      tasks_(tasks_of(schema)),
      lanes_(tasks_.size() * options_.rates.size()),
      most_keys_(options_.memory_bytes / (2 * sizeof(float) * lanes_ + kBytesBesideWeights)),
      priors_(tasks_.size()),
      moments_(schema.numeric_features().size() + static_cast<std::size_t>(schema.dense_width())),
      rows_(static_cast<int>(2 * lanes_)),
      fixed_touched_(1 + moments_.size(), kNotTouched),
      slopes_(lanes_),
      moved_(tasks_.size()) {
  MILLRACE_CHECK(lanes_ > 0);
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    lane_rates_.insert(lane_rates_.end(), options_.rates.begin(), options_.rates.end());
  }
  fixed_.resize(fixed_touched_.size() * 2 * lanes_);
  for (std::size_t i = 0; i < fixed_touched_.size(); ++i) {
    std::fill_n(fixed_.data() + (2 * i + 1) * lanes_, lanes_, kFirstSquares);
  }
}

void LinearBaseline::train(const Batch& batch) {
  if (batch.rows == 0) return;
  if (options_.whole_batches) return step(batch, 0, batch.rows);
  for (int row = 0; row < batch.rows; ++row) step(batch, row, row + 1);
}

// One step of the rows [first, end): all are scored before any is learned from.
void LinearBaseline::step(const Batch& batch, int first, int end) {
  inputs_.clear();
  ends_.clear();
  touched_.clear();
  z_.resize(static_cast<std::size_t>(end - first) * lanes_);
  for (int row = first; row < end; ++row) {
    const std::size_t begin = inputs_.size();
    collect(batch, row, learns(batch, row));
    ends_.push_back(inputs_.size());
    float* z = z_.data() + static_cast<std::size_t>(row - first) * lanes_;
    score(inputs_.data() + begin, inputs_.size() - begin, z);
    measure(batch, row, z);
  }
  if (!touched_.empty()) {
    ++steps_;
    count_labels(batch, first, end);
    gradients_.assign(touched_.size() * lanes_, 0);
    std::size_t begin = 0;
    for (int row = first; row < end; ++row) {
      const auto place = static_cast<std::size_t>(row - first);
      if (learns(batch, row)) {
        add_gradients(batch, row, inputs_.data() + begin, ends_[place] - begin,
                      z_.data() + place * lanes_);
      }
      begin = ends_[place];
    }
    update();
  }
  if (!batch.paused) take_numbers(batch, first, end);
}

// Whether any task learns from the row.
bool LinearBaseline::learns(const Batch& batch, int row) const {
  const auto r = static_cast<std::size_t>(row);
  if (batch.paused || batch.weights[r] == 0) return false;
  const std::size_t T = schema_.tasks().size();
  return std::any_of(tasks_.begin(), tasks_.end(), [&](int task) {
    const std::size_t cell = r * T + static_cast<std::size_t>(task);
    return !std::isnan(batch.labels[cell]) && batch.condition[cell] == 1;
  });
}

// Appends the inputs of a row that are not 0. Rows that teach nothing make no weights.
void LinearBaseline::collect(const Batch& batch, int row, bool learned) {
  const auto r = static_cast<std::size_t>(row);
  const std::size_t numbers = schema_.numeric_features().size(),
                    dense = static_cast<std::size_t>(schema_.dense_width());
  const auto standardised = [&](std::size_t place, float value) {
    return standardise(value, moments_[place].mean(), moments_[place].inverse_deviation());
  };
  const auto add = [&](std::size_t place, float x) {
    if (x == 0) return;
    float* values = fixed_.data() + place * 2 * lanes_;
    std::uint32_t& at = fixed_touched_[place];
    if (learned && at == kNotTouched) {
      at = static_cast<std::uint32_t>(touched_.size());
      touched_.push_back(values);
    }
    inputs_.push_back({values, x, at});
  };
  add(0, 1);
  for (std::size_t i = 0; i < numbers; ++i) {
    add(1 + i, standardised(i, batch.numeric[r * numbers + i]));
  }
  for (std::size_t i = 0; i < dense; ++i) {
    add(1 + numbers + i, standardised(numbers + i, batch.dense[r * dense + i]));
  }
  collect_keys(batch, row, learned);
}

void LinearBaseline::collect_keys(const Batch& batch, int row, bool learned) {
  const auto r = static_cast<std::size_t>(row);
  for (std::size_t c = 0; c < batch.columns.size(); ++c) {
    const KeyColumn& column = batch.columns[c];
    if (column.ends.empty()) {
      add_key(c, column.keys[r], 1, learned);
      continue;
    }
    const std::size_t begin = r == 0 ? 0 : column.ends[r - 1], end = column.ends[r];
    const auto feature = static_cast<std::size_t>(schema_.key_features()[c]);
    const bool mean = schema_.features()[feature].pooling == Pooling::kMean;
    const float x = mean && end > begin ? 1 / static_cast<float>(end - begin) : 1;
    for (std::size_t i = begin; i < end; ++i) add_key(c, column.keys[i], x, learned);
  }
}

void LinearBaseline::add_key(std::size_t column, std::uint64_t key, float x, bool learned) {
  if (key == kMissingKey) return;
  const std::uint64_t own = own_key(column, key);
  KeyedRows::Row row = rows_.find(own);
  if (row == KeyedRows::kNone) {
    if (!learned) return;
    if (rows_.size() >= most_keys_) {
      ++left_out_;
      return;
    }
    row = rows_.insert(own);
    std::fill_n(rows_.values(row), lanes_, 0.0F);
    std::fill_n(rows_.values(row) + lanes_, lanes_, kFirstSquares);
    rows_.seen(row) = kNotTouched;
  }
  float* values = rows_.values(row);
  std::uint32_t& at = rows_.seen(row);
  if (learned && (at >= touched_.size() || touched_[at] != values)) {
    at = static_cast<std::uint32_t>(touched_.size());
    touched_.push_back(values);
  }
  inputs_.push_back({values, x, at});
}

void LinearBaseline::score(const Input* inputs, std::size_t count, float* z) const {
  const std::size_t R = options_.rates.size(), L = lanes_;
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    std::fill_n(z + k * R, R, static_cast<float>(priors_[k].log_odds));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const float* w = inputs[i].weights;
    const float x = inputs[i].x;
    for (std::size_t l = 0; l < L; ++l) z[l] += x * w[l];
  }
}

void LinearBaseline::measure(const Batch& batch, int row, const float* z) const {
  if (!observer_) return;
  const auto r = static_cast<std::size_t>(row);
  const std::size_t R = options_.rates.size(), T = schema_.tasks().size();
  const std::uint64_t user = batch.users.empty() ? 0 : batch.users[r];
  Measurement m;
  m.weight = (batch.measure_weights.empty() ? batch.weights : batch.measure_weights)[r];
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    const auto task = static_cast<std::size_t>(tasks_[k]);
    const std::size_t cell = r * T + task;
    if (std::isnan(batch.labels[cell]) || batch.condition[cell] != 1) continue;
    m.label = batch.labels[cell];
    for (std::size_t rate = 0; rate < R; ++rate) {
      m.logit = z[k * R + rate] + schema_.tasks()[task].logit_shift;
      m.prediction = math::sigmoid(m.logit);
      m.loss = math::bce(m.logit, m.label).value;
      observer_(k, rate, m, user);
    }
  }
}

// Takes the step's labels into the log odds that the regressions start from.
void LinearBaseline::count_labels(const Batch& batch, int first, int end) {
  const std::size_t T = schema_.tasks().size();
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    Prior& prior = priors_[k];
    const double before = prior.log_odds;
    bool any = false;
    for (int row = first; row < end && prior.labels < kPriorLabels; ++row) {
      const auto r = static_cast<std::size_t>(row);
      const std::size_t cell = r * T + static_cast<std::size_t>(tasks_[k]);
      if (batch.weights[r] == 0 || std::isnan(batch.labels[cell]) || batch.condition[cell] != 1) {
        continue;
      }
      ++prior.labels;
      prior.weight += batch.weights[r];
      prior.positives += double{batch.weights[r]} * batch.labels[cell];
      any = true;
    }
    if (any) {
      prior.log_odds = std::log((prior.positives + 0.5) / (prior.weight - prior.positives + 0.5));
    }
    moved_[k] = prior.log_odds - before;
  }
}

void LinearBaseline::add_gradients(const Batch& batch, int row, const Input* inputs,
                                   std::size_t count, const float* z) {
  const auto r = static_cast<std::size_t>(row);
  const std::size_t R = options_.rates.size(), T = schema_.tasks().size(), L = lanes_;
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    const std::size_t cell = r * T + static_cast<std::size_t>(tasks_[k]);
    const float label = batch.labels[cell];
    const bool known = !std::isnan(label) && batch.condition[cell] == 1;
    for (std::size_t l = k * R; l < (k + 1) * R; ++l) {
      const float logit = z[l] + static_cast<float>(moved_[k]);
      slopes_[l] = known ? batch.weights[r] * math::bce(logit, label).slope : 0;
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    float* gradient = gradients_.data() + inputs[i].touched * L;
    const float x = inputs[i].x;
    for (std::size_t l = 0; l < L; ++l) gradient[l] += x * slopes_[l];
  }
}

void LinearBaseline::update() {
  const std::size_t L = lanes_;
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    const float* gradient = gradients_.data() + i * L;
    float* w = touched_[i];
    float* n = w + L;
    for (std::size_t l = 0; l < L; ++l) {
      n[l] += gradient[l] * gradient[l];
      w[l] -= lane_rates_[l] * gradient[l] / std::sqrt(n[l]);
    }
  }
  std::fill(fixed_touched_.begin(), fixed_touched_.end(), kNotTouched);
}

void LinearBaseline::take_numbers(const Batch& batch, int first, int end) {
  const std::size_t numbers = schema_.numeric_features().size();
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    const std::vector<float>& values = i < numbers ? batch.numeric : batch.dense;
    const std::size_t width = i < numbers ? numbers : moments_.size() - numbers,
                      place = i < numbers ? i : i - numbers;
    moments_[i].add(end - first, [&](int at) {
      const auto r = static_cast<std::size_t>(first + at);
      return batch.weights[r] != 0 ? values[r * width + place]
                                   : std::numeric_limits<float>::quiet_NaN();
    });
  }
}

}  // namespace millrace
