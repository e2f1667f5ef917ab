#include "learner/relation/representation.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"

namespace millrace {
namespace {

constexpr int kRows = RepresentationSimilarity::kRows;

// What of a kernel (its diagonal left out) HSIC reads: the values above the diagonal, their sums by
// row, and all.
struct Kernel {
  std::vector<double> upper, row_sums;
  double sum = 0;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (std::size_t l = 0; l < 4; ++l) sums[l] += a[i + l] * b[i + l];
  }
  for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// Song et al. 2012, eq. 5.
double hsic(const Kernel& k, const Kernel& l) {
  constexpr double n = kRows;
  const double trace = 2 * dot(k.upper, l.upper);
  const double apart = k.sum * l.sum / ((n - 1) * (n - 2));
  const double by_rows = 2 / (n - 2) * dot(k.row_sums, l.row_sums);
  return (trace + apart - by_rows) / (n * (n - 3));
}

}  // namespace

RepresentationSimilarity::RepresentationSimilarity(int tasks, int units,
                                                   RepresentationMeasure measure, double length)
    : tasks_(tasks),
      units_(units),
      measure_(measure),
      length_(length),
      held_(static_cast<std::size_t>(tasks) * kRows * static_cast<std::size_t>(units)),
      means_(tasks) {}

void RepresentationSimilarity::add(std::span<const float> v, int rows) {
  const auto block = static_cast<std::size_t>(rows) * static_cast<std::size_t>(units_);
  MILLRACE_CHECK(0 <= rows && rows <= wanted());
  MILLRACE_CHECK(v.size() == block * static_cast<std::size_t>(tasks_));
  for (int t = 0; t < tasks_; ++t) {
    const std::size_t to =
        static_cast<std::size_t>(t * kRows + rows_) * static_cast<std::size_t>(units_);
    std::copy_n(v.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(t) * block), block,
                held_.begin() + static_cast<std::ptrdiff_t>(to));
  }
  rows_ += rows;
  if (rows_ < kRows) return;
  measure();
  rows_ = 0;
}

std::vector<double> RepresentationSimilarity::kernel(int task) const {
  std::vector<double> products;
  products.reserve(kRows * (kRows - 1) / 2);
  for (int a = 0; a < kRows; ++a) {
    for (int b = a + 1; b < kRows; ++b) {
      double sum = 0;
      for (int h = 0; h < units_; ++h) sum += double{row(task, a)[h]} * row(task, b)[h];
      products.push_back(sum);
    }
  }
  return products;
}

void RepresentationSimilarity::measure() {
  const double weight = math::running_share(count_, 1, length_);
  count_ = std::min(count_ + 1, length_);
  if (measure_ == RepresentationMeasure::kCosine) {
    for (int i = 0; i < tasks_; ++i) {
      for (int j = 0; j <= i; ++j) {
        double mean = 0;
        for (int r = 0; r < kRows; ++r) {
          double product = 0, a = 0, b = 0;
          for (int h = 0; h < units_; ++h) {
            const double x = row(i, r)[h], y = row(j, r)[h];
            product += x * y;
            a += x * x;
            b += y * y;
          }
          const double norms = std::sqrt(a) * std::sqrt(b);
          mean += (norms > 0 ? product / norms : 0) / kRows;
        }
        means_(i, j) += weight * (mean - means_(i, j));
      }
    }
    return;
  }
  std::vector<Kernel> kernels(static_cast<std::size_t>(tasks_));
  for (int t = 0; t < tasks_; ++t) {
    Kernel& of = kernels[static_cast<std::size_t>(t)];
    of.upper = kernel(t);
    of.row_sums.resize(kRows);
    std::size_t at = 0;
    for (std::size_t a = 0; a < kRows; ++a) {
      for (std::size_t b = a + 1; b < kRows; ++b, ++at) {
        of.row_sums[a] += of.upper[at];
        of.row_sums[b] += of.upper[at];
        of.sum += 2 * of.upper[at];
      }
    }
  }
  for (int i = 0; i < tasks_; ++i) {
    for (int j = 0; j <= i; ++j) {
      const double value =
          hsic(kernels[static_cast<std::size_t>(i)], kernels[static_cast<std::size_t>(j)]);
      means_(i, j) += weight * (value - means_(i, j));
    }
  }
}

std::optional<double> RepresentationSimilarity::similarity(int i, int j) const {
  if (count_ == 0) return std::nullopt;
  if (measure_ == RepresentationMeasure::kCosine) return std::clamp(means_(i, j), -1.0, 1.0);
  const double a = means_(i, i), b = means_(j, j);
  if (!(a > 0) || !(b > 0)) return std::nullopt;
  return std::clamp(means_(i, j) / (std::sqrt(a) * std::sqrt(b)), 0.0, 1.0);
}

void RepresentationSimilarity::save(ByteWriter& writer) const {
  writer.put(static_cast<std::uint8_t>(measure_));
  writer.put(rows_);
  for (int t = 0; t < tasks_; ++t) {
    for (int r = 0; r < rows_; ++r) {
      for (int h = 0; h < units_; ++h) writer.put(row(t, r)[h]);
    }
  }
  writer.put(count_);
  for (const double mean : means_.values()) writer.put(mean);
}

void RepresentationSimilarity::restore(ByteReader& reader) {
  const bool same = reader.get<std::uint8_t>() == static_cast<std::uint8_t>(measure_);
  rows_ = reader.get<int>();
  if (rows_ < 0 || rows_ >= kRows) throw StateError("the saved relations are out of their range");
  for (int t = 0; t < tasks_; ++t) {
    for (int r = 0; r < rows_; ++r) {
      for (int h = 0; h < units_; ++h) const_cast<float*>(row(t, r))[h] = reader.get<float>();
    }
  }
  count_ = read_relation(reader);
  for (double& mean : means_.values()) mean = read_relation(reader);
  if (count_ < 0) throw StateError("the saved relations are out of their range");
  if (same) return;  // Means of the other measure are of no use.
  count_ = 0;
  std::fill(means_.values().begin(), means_.values().end(), 0.0);
}

}  // namespace millrace
