#include "learner/train/output_start.h"

#include <algorithm>
#include <cmath>

#include "learner/data/label_units.h"

namespace millrace {

std::optional<float> OutputStart::start(const Batch& batch, int task) const {
  const auto k = static_cast<std::size_t>(task);
  if (started_[k]) return std::nullopt;
  const std::size_t T = schema_.tasks().size();
  double weight = 0, sum = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
    const float label = batch.labels[i * T + k];
    if (std::isnan(label) || batch.condition[i * T + k] != 1) continue;
    if (!tells_base_rate(batch, i, task)) continue;
    weight += batch.weights[i];
    sum += double{batch.weights[i]} * label;
  }
  if (!(weight > 0)) return std::nullopt;
  switch (schema_.tasks()[k].kind) {
    case TaskKind::kBinary:
      return static_cast<float>(std::log((sum + 0.5) / (weight - sum + 0.5)));
    case TaskKind::kCount:
      return static_cast<float>(std::log(std::max(sum, 0.5) / weight));
    case TaskKind::kRegression:
    case TaskKind::kDuration:
      break;
  }
  return static_cast<float>(sum / weight);
}

void OutputStart::add(const Batch& batch, std::span<const std::uint8_t> learns) {
  const std::size_t T = schema_.tasks().size();
  for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
    if (batch.weights[i] == 0) continue;
    for (std::size_t k = 0; k < T; ++k) {
      const float label = batch.labels[i * T + k];
      if (std::isnan(label) || learns[k] == 0) continue;
      LabelRange& range = ranges_[k];
      range.least = seen_[k] ? std::min(range.least, label) : label;
      range.most = seen_[k] ? std::max(range.most, label) : label;
      seen_[k] = 1;
      if (batch.condition[i * T + k] == 1 && tells_base_rate(batch, i, static_cast<int>(k))) {
        started_[k] = 1;
      }
    }
  }
}

void OutputStart::start_as_given() { std::fill(started_.begin(), started_.end(), std::uint8_t{1}); }

// Whether the label is one of a sample of all labels. Not the 1s that came later, nor what dfm
// looks at again (so a base rate is what had come at the first look); and not what is trained at
// once over the entire space: whether the condition holds is known of its 1s alone.
bool OutputStart::tells_base_rate(const Batch& batch, std::size_t row, int task) const {
  if (batch.origin.empty()) return true;
  const auto k = static_cast<std::size_t>(task);
  const Task& t = schema_.tasks()[k];
  const Origin origin = batch.origin[row * schema_.tasks().size() + k];
  const bool at_once = t.policy == FeedbackPolicy::kFnw || t.policy == FeedbackPolicy::kFnc;
  if (at_once && origin != Origin::kFinal) return t.given < 0 || !t.entire_space;
  if (t.policy == FeedbackPolicy::kDfm && origin == Origin::kAgain) return false;
  return origin != Origin::kLater;
}

double OutputStart::value(float z, int task) const {
  const auto k = static_cast<std::size_t>(task);
  const Task& t = schema_.tasks()[k];
  if (seen_[k] == 0) return value_of_output(t, double{z});
  return clamped_value(t, double{z}, double{ranges_[k].least}, double{ranges_[k].most});
}

void OutputStart::save(ByteWriter& writer) const {
  for (std::size_t k = 0; k < ranges_.size(); ++k) {
    writer.put(started_[k]);
    writer.put(seen_[k]);
    writer.put(ranges_[k].least);
    writer.put(ranges_[k].most);
  }
}

void OutputStart::restore(ByteReader& reader) {
  for (std::size_t k = 0; k < ranges_.size(); ++k) {
    started_[k] = reader.get<std::uint8_t>();
    seen_[k] = reader.get<std::uint8_t>();
    ranges_[k].least = reader.get<float>();
    ranges_[k].most = reader.get<float>();
  }
}

}  // namespace millrace
