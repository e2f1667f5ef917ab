#include "learner/relation/classifier.h"

#include <algorithm>
#include <cmath>

#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr std::uint64_t kStream = 0x72656c6174696f6e;  // "relation"

}  // namespace

RelationClassifier::RelationClassifier(int tasks, double neutral, std::uint64_t seed)
    : tasks_(tasks),
      neutral_(neutral),
      head_(static_cast<std::size_t>(tasks) * kUnits),
      values_(head_ + kRelations * (kFeatures + 1)),
      moments_(values_.size()),
      squares_(values_.size()) {
  for (std::size_t i = 0; i < head_ + kRelations * kFeatures; ++i) {
    const auto bits = philox(seed, kStream, i);
    values_[i] = to_normal(bits[0], bits[1])[0] / std::sqrt(double{kUnits});
  }
}

auto RelationClassifier::features(int i, int j) const -> std::array<double, kFeatures> {
  std::array<double, kFeatures> f{};
  const double *a = embedding(i), *b = embedding(j);
  for (std::size_t d = 0; d < kUnits; ++d) {
    f[d] = a[d] * b[d];
    f[kUnits + d] = (a[d] - b[d]) * (a[d] - b[d]);
  }
  return f;
}

auto RelationClassifier::probabilities(const std::array<double, kFeatures>& f) const
    -> std::array<double, kRelations> {
  std::array<double, kRelations> p{};
  for (std::size_t c = 0; c < kRelations; ++c) {
    p[c] = values_[head_ + kRelations * kFeatures + c];
    for (std::size_t d = 0; d < kFeatures; ++d) p[c] += values_[head_ + c * kFeatures + d] * f[d];
  }
  const double most = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - most);
  for (double& value : p) value /= sum;
  return p;
}

std::array<double, kRelations> RelationClassifier::relation(int i, int j) const {
  if (i == j) return {1, 0, 0};
  // In one order, so that rounding keeps it symmetric, too.
  return probabilities(features(std::min(i, j), std::max(i, j)));
}

void RelationClassifier::learn(const GradientCosine& cosines) {
  std::vector<double> slopes(values_.size());
  double pairs = 0;
  for (int i = 0; i < tasks_; ++i) {
    for (int j = i + 1; j < tasks_; ++j) {
      const auto cosine = cosines.cosine(i, j);
      if (!cosine) continue;
      pairs += 1;
      const Relation target = *cosine > neutral_    ? Relation::kPositive
                              : *cosine < -neutral_ ? Relation::kNegative
                                                    : Relation::kNeutral;
      const auto f = features(i, j);
      auto du = probabilities(f);  // ∂ cross-entropy / ∂ logits = p − target
      du[static_cast<std::size_t>(target)] -= 1;
      const double *a = embedding(i), *b = embedding(j);
      double* da = slopes.data() + i * kUnits;
      double* db = slopes.data() + j * kUnits;
      for (std::size_t c = 0; c < kRelations; ++c) {
        slopes[head_ + kRelations * kFeatures + c] += du[c];
        const double* w = values_.data() + head_ + c * kFeatures;
        for (std::size_t d = 0; d < kUnits; ++d) {
          slopes[head_ + c * kFeatures + d] += du[c] * f[d];
          slopes[head_ + c * kFeatures + kUnits + d] += du[c] * f[kUnits + d];
          const double apart = 2 * (a[d] - b[d]) * w[kUnits + d];
          da[d] += du[c] * (w[d] * b[d] + apart);
          db[d] += du[c] * (w[d] * a[d] - apart);
        }
      }
    }
  }
  if (pairs == 0) return;
  constexpr double kRate = 0.01, kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  steps_ += 1;
  const double first = 1 - std::pow(kBeta1, steps_), second = 1 - std::pow(kBeta2, steps_);
  for (std::size_t n = 0; n < values_.size(); ++n) {
    const double slope = slopes[n] / pairs;
    moments_[n] += (1 - kBeta1) * (slope - moments_[n]);
    squares_[n] += (1 - kBeta2) * (slope * slope - squares_[n]);
    values_[n] -= kRate * (moments_[n] / first) / (std::sqrt(squares_[n] / second) + kEpsilon);
  }
}

void RelationClassifier::save(ByteWriter& writer) const {
  writer.put(steps_);
  for (const auto* values : {&values_, &moments_, &squares_}) {
    for (const double value : *values) writer.put(value);
  }
}

void RelationClassifier::restore(ByteReader& reader) {
  steps_ = read_relation(reader);
  for (auto* values : {&values_, &moments_, &squares_}) {
    for (double& value : *values) value = read_relation(reader);
  }
  if (steps_ < 0 || std::any_of(squares_.begin(), squares_.end(), [](double s) { return s < 0; })) {
    throw StateError("the saved relations are out of their range");
  }
}

}  // namespace millrace
