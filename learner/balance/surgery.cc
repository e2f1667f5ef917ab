#include "learner/balance/surgery.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr std::uint64_t kStream = 0x7063677261640000;  // "pcgrad"
// Keeps coefficients in a float's range where a gradient all but vanishes.
constexpr double kEpsilon = 1e-20;
// A mixture of gradients no longer than this share of the longest of them (PCGrad: of the one that
// it began with) is 0 but for the rounding of floats: its direction says nothing.
constexpr double kRounding = 1e-5;

std::vector<int> present_tasks(const Gram& gram) {
  std::vector<int> present;
  for (int k = 0; k < gram.tasks(); ++k) {
    if (gram(k, k) > 0) present.push_back(k);
  }
  return present;
}

std::size_t at(int k) { return static_cast<std::size_t>(k); }

// `order` shuffled (Fisher and Yates), task i's own draw.
void shuffle(std::vector<int>& order, std::uint64_t seed, int i, std::uint64_t step) {
  for (std::size_t left = order.size(); left > 1; --left) {
    const std::uint64_t place = static_cast<std::uint64_t>(i) << 16 | left;
    const std::uint64_t bits = philox(seed, kStream ^ place << 24, step)[0];
    std::swap(order[left - 1], order[bits * left >> 32]);
  }
}

// F on the segment w + t d, t in [0, most]: a + b t + s √(q0 + q1 t + q2 t²), which is convex.
struct Segment {
  double b, s, q0, q1, q2;

  double slope(double t) const {
    const double square = q0 + t * (q1 + t * q2);
    const double root = std::sqrt(std::max(square, 0.0));
    if (root > 0) return b + s * (q1 + 2 * q2 * t) / (2 * root);
    // At the point of a cone: the slope to its right.
    return b + s * std::sqrt(std::max(q2, 0.0));
  }
  // Where F is least. The slope never falls, so halving finds its sign's change to the last bit.
  double least(double most) const {
    if (slope(0) >= 0) return 0;
    if (slope(most) <= 0) return most;
    double low = 0, high = most;
    for (int i = 0; i < 200; ++i) {
      const double middle = low + (high - low) / 2;
      if (middle <= low || middle >= high) break;
      (slope(middle) < 0 ? low : high) = middle;
    }
    return low + (high - low) / 2;
  }
};

// The problem over the present tasks alone.
class Simplex {
 public:
  Simplex(const Gram& gram, const std::vector<int>& tasks, double radius)
      : gram_(gram), tasks_(tasks), n_(tasks.size()), w_(n_, 1.0 / static_cast<double>(n_)) {
    // ⟨g_k, g_0⟩ and, at the centre, ⟨g_k, g_w⟩ are the same.
    mean_.resize(n_);
    for (std::size_t k = 0; k < n_; ++k) {
      for (std::size_t j = 0; j < n_; ++j) mean_[k] += g(k, j) / static_cast<double>(n_);
    }
    product_ = mean_;
    const double square = dot(w_, mean_);
    mean_norm_ = std::sqrt(std::max(square, 0.0));
    root_ = radius * mean_norm_;
  }

  void minimise() {
    double largest = 0;
    for (std::size_t k = 0; k < n_; ++k) largest = std::max(largest, g(k, k));
    const double enough = 1e-12 * mean_norm_ * std::sqrt(largest);
    const std::size_t most = 1000 + 10 * n_;
    for (std::size_t i = 0; i < most && n_ > 1; ++i) {
      if (!step(enough)) break;
    }
  }

  const std::vector<double>& weights() const { return w_; }
  double mean_norm() const { return mean_norm_; }
  double root() const { return root_; }
  double norm() const { return std::sqrt(std::max(dot(w_, product_), 0.0)); }

 private:
  double g(std::size_t i, std::size_t j) const { return gram_(tasks_[i], tasks_[j]); }
  static double dot(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }

  // Moves weight from the task with the largest slope to that with the least.
  bool step(double enough) {
    const double length = norm();
    std::size_t to = 0, from = n_;
    std::vector<double> slopes(n_);
    for (std::size_t k = 0; k < n_; ++k) {
      slopes[k] = mean_[k] + (length > 0 ? root_ * product_[k] / length : 0);
      if (slopes[k] < slopes[to]) to = k;
      if (w_[k] > 0 && (from == n_ || slopes[k] > slopes[from])) from = k;
    }
    if (!(slopes[from] - slopes[to] > enough)) return false;
    const Segment segment{mean_[to] - mean_[from], root_, dot(w_, product_),
                          2 * (product_[to] - product_[from]),
                          g(to, to) - 2 * g(to, from) + g(from, from)};
    const double t = segment.least(w_[from]);
    if (t == 0) return false;
    w_[to] += t;
    w_[from] = t == w_[from] ? 0 : w_[from] - t;
    for (std::size_t k = 0; k < n_; ++k) product_[k] += t * (g(k, to) - g(k, from));
    return true;
  }

  const Gram& gram_;
  const std::vector<int>& tasks_;
  const std::size_t n_;
  std::vector<double> w_, mean_, product_;
  double mean_norm_ = 0, root_ = 0;
};

}  // namespace

std::vector<double> pcgrad(const Gram& gram, std::uint64_t seed, std::uint64_t step) {
  const std::vector<int> present = present_tasks(gram);
  std::vector<double> total(at(gram.tasks())), own(at(gram.tasks())), product(at(gram.tasks()));
  for (const int i : present) {
    std::fill(own.begin(), own.end(), 0.0);
    own[at(i)] = 1;
    for (const int k : present) product[at(k)] = gram(i, k);  // ⟨h, g_k⟩
    std::vector<int> order;
    for (const int j : present) {
      if (j != i) order.push_back(j);
    }
    shuffle(order, seed, i, step);
    for (const int j : order) {
      if (!(product[at(j)] < 0)) continue;
      const double take = product[at(j)] / (gram(j, j) + kEpsilon);
      own[at(j)] -= take;
      for (const int k : present) product[at(k)] -= take * gram(j, k);
    }
    double square = 0;  // ‖h‖²
    for (const int k : present) square += own[at(k)] * product[at(k)];
    if (!(square > kRounding * kRounding * gram(i, i))) continue;
    for (const int k : present) total[at(k)] += own[at(k)];
  }
  return total;
}

std::vector<double> cagrad_simplex(const Gram& gram, double radius) {
  std::vector<double> all(at(gram.tasks()));
  const std::vector<int> present = present_tasks(gram);
  if (present.empty()) return all;
  Simplex simplex(gram, present, radius);
  simplex.minimise();
  for (std::size_t k = 0; k < present.size(); ++k) all[at(present[k])] = simplex.weights()[k];
  return all;
}

std::vector<double> cagrad(const Gram& gram, double radius) {
  std::vector<double> all(at(gram.tasks()));
  const std::vector<int> present = present_tasks(gram);
  if (present.empty()) return all;
  Simplex simplex(gram, present, radius);
  simplex.minimise();
  const double norm = simplex.norm();
  double longest = 0;
  for (const int k : present) longest = std::max(longest, std::sqrt(gram(k, k)));
  // Gradients that cancel out leave no direction to move the mean by.
  const bool has_direction = norm > kRounding * longest;
  const double along = has_direction ? simplex.root() / norm : 0;
  for (std::size_t k = 0; k < present.size(); ++k) {
    const double mean = 1 / static_cast<double>(present.size());
    all[at(present[k])] = (mean + along * simplex.weights()[k]) / (1 + radius * radius);
  }
  return all;
}

}  // namespace millrace
