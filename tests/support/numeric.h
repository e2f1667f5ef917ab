#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "learner/base/random.h"
#include "learner/base/view.h"

// Matrices, distances and finite differences for tests.
namespace millrace {

/// A matrix that owns its values: zeros, or normal numbers of a seed.
template <class T>
struct Matrix {
  int rows;
  int cols;
  std::vector<T> values;

  Matrix(int rows_, int cols_)
      : rows(rows_), cols(cols_), values(static_cast<std::size_t>(rows_) * cols_) {}
  Matrix(int rows_, int cols_, std::uint64_t seed) : Matrix(rows_, cols_) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto bits = philox(seed, 0x7e57, i);
      values[i] = static_cast<T>(to_normal(bits[0], bits[1])[0]);
    }
  }

  T& operator()(int r, int c) { return values[static_cast<std::size_t>(r) * cols + c]; }
  const T& operator()(int r, int c) const { return values[static_cast<std::size_t>(r) * cols + c]; }
  operator View<T>() { return {values.data(), rows, cols}; }
  operator View<const T>() const { return {values.data(), rows, cols}; }
  View<T> view() { return *this; }
  View<const T> view() const { return *this; }
};

/// ‖a − b‖∞ / max(1, ‖b‖∞): relative for large values, absolute for small ones. NaN if either has
/// one; infinite where the sizes differ.
template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  if (a.size() != b.size()) return INFINITY;
  double most = 0, size = 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(difference)) return NAN;
    most = std::fmax(most, difference);
    size = std::fmax(size, std::fabs(static_cast<double>(b[i])));
  }
  return most / size;
}

/// The slopes of `loss` in each of `values`, by central differences. `loss` reads `values` in
/// place, which are as before when this returns.
inline std::vector<double> slopes(std::vector<double>& values, const std::function<double()>& loss,
                                  double step = 1e-6) {
  std::vector<double> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double before = values[i];
    values[i] = before + step;
    const double above = loss();
    values[i] = before - step;
    const double below = loss();
    values[i] = before;
    result[i] = (above - below) / (2 * step);
  }
  return result;
}

}  // namespace millrace
