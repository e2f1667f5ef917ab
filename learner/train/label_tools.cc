#include "learner/train/label_tools.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"

namespace millrace {
namespace {

constexpr double kLength = 100'000;  // of the shares of 1s

std::vector<double> by_task(const Schema& schema, const std::map<std::string, double>& values,
                            double usual) {
  std::vector<double> all(schema.tasks().size(), usual);
  for (const auto& [name, value] : values) {
    const int task = schema.find_task(name);
    MILLRACE_CHECK(task >= 0);
    all[static_cast<std::size_t>(task)] = value;
  }
  return all;
}

}  // namespace

LabelTools::LabelTools(const Schema& schema, const LabelOptions& options)
    : schema_(schema),
      options_(options),
      ratios_(by_task(schema, options.ratio, 0)),
      copies_(by_task(schema, options.oversample, 1)),
      steps_(by_task(schema, options.curriculum.steps, -1)),
      counts_(schema.tasks().size()),
      joined_(schema.tasks().size(), 1) {
  const CurriculumOptions& curriculum = options.curriculum;
  const bool in_turn = curriculum.labels > 0 || !curriculum.steps.empty();
  if (in_turn) std::fill(joined_.begin(), joined_.end(), std::uint8_t{0});
  if (!options.ratio.empty()) classes_.resize(schema.tasks().size());
  any_ = in_turn || !options.ratio.empty() || !options.oversample.empty() ||
         options.effective_count > 0;
}

void LabelTools::begin(double steps) {
  join(steps);
  for (std::size_t k = 0; k < classes_.size(); ++k) {
    if (ratios_[k] == 0) continue;
    const Count& count = counts_[k];
    // Half a 1 and half a 0 beside those seen: a class that has not come yet is only rare.
    const double share = (count.positive * count.counted + 0.5) / (count.counted + 1);
    const double rate = std::min(1.0, ratios_[k] * share / (1 - share));
    const double mean = share + rate * (1 - share);
    classes_[k] = {1 / mean, rate / mean, rate < 1 ? -std::log(rate) : 0};
  }
}

void LabelTools::join(double steps) {
  if (std::find(joined_.begin(), joined_.end(), 0) == joined_.end()) return;
  double most = 0;  // of those that do not wait for a step
  for (std::size_t k = 0; k < counts_.size(); ++k) {
    if (steps_[k] < 0) most = std::max(most, counts_[k].labels);
  }
  const auto least = static_cast<double>(options_.curriculum.labels);
  for (std::size_t k = 0; k < counts_.size(); ++k) {
    const double labels = counts_[k].labels;
    const bool enough = labels >= least || (labels > 0 && labels == most);
    if (steps_[k] < 0 ? enough : steps >= steps_[k]) joined_[k] = 1;
  }
}

void LabelTools::weigh(std::span<const double> weights, std::vector<double>& weighed) const {
  weighed.assign(weights.begin(), weights.end());
  if (options_.oversample.empty() && options_.effective_count == 0) return;
  const double beta = options_.effective_count;
  double sum = 0, before = 0;
  for (std::size_t k = 0; k < weighed.size(); ++k) {
    before += weighed[k];
    weighed[k] *= copies_[k];
    const double n = std::max(counts_[k].labels, 1.0);
    if (beta > 0) weighed[k] *= (1 - beta) / -std::expm1(n * std::log(beta));
    sum += weighed[k];
  }
  for (double& weight : weighed) weight *= before / sum;
}

void LabelTools::add(const Batch& batch) {
  if (!any_) return;
  const std::size_t T = counts_.size();
  for (std::size_t k = 0; k < T; ++k) {
    double labels = 0, positives = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
      const float label = batch.labels[i * T + k];
      if (std::isnan(label) || batch.weights[i] == 0) continue;
      labels += 1;
      positives += label > 0.5F ? 1 : 0;
    }
    if (labels == 0) continue;
    Count& count = counts_[k];
    count.labels += schema_.tasks()[k].kind == TaskKind::kBinary ? positives : labels;
    const double weight = math::running_share(count.counted, labels, kLength);
    count.positive += weight * (positives / labels - count.positive);
    count.counted = std::min(count.counted + labels, kLength);
  }
}

void LabelTools::save(ByteWriter& writer) const {
  for (std::size_t k = 0; k < counts_.size(); ++k) {
    writer.put(joined_[k]);
    writer.put(counts_[k].labels);
    writer.put(counts_[k].counted);
    writer.put(counts_[k].positive);
  }
}

void LabelTools::restore(ByteReader& reader) {
  const bool in_turn = options_.curriculum.labels > 0 || !options_.curriculum.steps.empty();
  for (std::size_t k = 0; k < counts_.size(); ++k) {
    const auto joined = reader.get<std::uint8_t>();
    joined_[k] = in_turn ? joined : std::uint8_t{1};
    for (double* value : {&counts_[k].labels, &counts_[k].counted, &counts_[k].positive}) {
      *value = reader.get<double>();
      if (!(*value >= 0 && std::isfinite(*value))) {
        throw StateError("the saved counts of labels are out of their range");
      }
    }
    if (counts_[k].positive > 1) {
      throw StateError("the saved counts of labels are out of their range");
    }
  }
}

}  // namespace millrace
