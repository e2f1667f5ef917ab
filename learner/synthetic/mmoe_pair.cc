#include "learner/synthetic/mmoe_pair.h"

#include <cmath>
#include <cstddef>

#include "learner/base/check.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

// What a random number is for: each its own stream of Philox. The rows' features take the streams
// from kFeatures on, one for every four of them.
enum Stream : std::uint64_t { kDirections = 1, kNoise = 3, kFeatures = 16 };

std::vector<double> normals(std::uint64_t seed, std::uint64_t stream, int count) {
  std::vector<double> values;
  for (std::uint64_t i = 0; static_cast<int>(i) < count; ++i) {
    const auto bits = philox(seed, stream, i);
    values.push_back(to_normal(bits[0], bits[1])[0]);
  }
  return values;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void scale_to_one(std::vector<double>& a) {
  const double norm = std::sqrt(dot(a, a));
  for (double& value : a) value /= norm;
}

// K_ij(p): covariance of sin(α_i w₁ᵀx + β_i) and sin(α_j w₂ᵀx + β_j), whose arguments' inner
// products are normal with variance c² and correlation p.
double sine_covariance(double a, double b, double other_a, double other_b, double p, double c) {
  const double half = c * c / 2, square = a * a + other_a * other_a, both = 2 * p * a * other_a;
  const auto decay = [half](double of) { return std::exp(-of * half); };
  return (std::cos(b - other_b) * decay(square - both) -
          std::cos(b + other_b) * decay(square + both)) /
             2 -
         std::sin(b) * std::sin(other_b) * decay(a * a) * decay(other_a * other_a);
}

// Of the two labels without noise, whose weights have the cosine p; the variance at p = 1.
double covariance_at(const MmoePairOptions& o, double p) {
  const double square = o.scale * o.scale;
  double linear = square, sines = 0;
  for (std::size_t i = 0; i < o.alphas.size(); ++i) {
    const double a = o.alphas[i], b = o.betas[i];
    linear += 2 * a * square * std::cos(b) * std::exp(-a * a * square / 2);
    for (std::size_t j = 0; j < o.alphas.size(); ++j) {
      sines += sine_covariance(a, b, o.alphas[j], o.betas[j], p, o.scale);
    }
  }
  return p * linear + sines;
}

}  // namespace

MmoePair::MmoePair(const MmoePairOptions& options) : options_(options) {
  if (options_.alphas.empty() && options_.betas.empty()) {
    constexpr int kSines = 14;
    for (int i = 1; i <= kSines; ++i) {
      options_.alphas.push_back(1 + 7.0 * (i - 1) / (kSines - 1));
      options_.betas.push_back(i);
    }
  }
  const double p = options_.correlation;
  MILLRACE_CHECK(options_.dimension >= 2 && -1 <= p && p <= 1);
  MILLRACE_CHECK(options_.alphas.size() == options_.betas.size());
  std::vector<double> u1 = normals(options_.seed, kDirections, options_.dimension);
  std::vector<double> u2 = normals(options_.seed, kDirections + 1, options_.dimension);
  scale_to_one(u1);
  const double along = dot(u1, u2);
  for (std::size_t i = 0; i < u2.size(); ++i) u2[i] -= along * u1[i];
  scale_to_one(u2);
  for (std::size_t i = 0; i < u1.size(); ++i) {
    weights_[0].push_back(options_.scale * u1[i]);
    weights_[1].push_back(options_.scale * (p * u1[i] + std::sqrt(1 - p * p) * u2[i]));
  }
  variance_ = covariance_at(options_, 1) + options_.noise * options_.noise;
  covariance_ = covariance_at(options_, p);
}

void MmoePair::features(std::uint64_t row, std::span<float> x) const {
  MILLRACE_CHECK(static_cast<int>(x.size()) == options_.dimension);
  for (std::size_t i = 0; i < x.size(); i += 4) {
    const auto bits = philox(options_.seed, kFeatures + i / 4, row);
    const auto one = to_normal(bits[0], bits[1]), two = to_normal(bits[2], bits[3]);
    const double four[] = {one[0], one[1], two[0], two[1]};
    for (std::size_t j = i; j < i + 4 && j < x.size(); ++j) x[j] = static_cast<float>(four[j - i]);
  }
}

auto MmoePair::labels(std::uint64_t row, std::span<const float> x) const
    -> std::array<double, kTasks> {
  const auto bits = philox(options_.seed, kNoise, row);
  const auto noise = to_normal(bits[0], bits[1]);
  std::array<double, kTasks> labels{};
  for (std::size_t k = 0; k < kTasks; ++k) {
    double along = 0;
    for (std::size_t i = 0; i < x.size(); ++i) along += weights_[k][i] * double{x[i]};
    labels[k] = along + options_.noise * noise[k];
    for (std::size_t i = 0; i < options_.alphas.size(); ++i) {
      labels[k] += std::sin(options_.alphas[i] * along + options_.betas[i]);
    }
  }
  return labels;
}

}  // namespace millrace
