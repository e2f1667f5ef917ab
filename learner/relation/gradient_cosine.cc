#include "learner/relation/gradient_cosine.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"

namespace millrace {

void GradientCosine::add(std::span<const double> gram) {
  const int T = pairs_.tasks();
  const auto tasks = static_cast<std::size_t>(T);
  MILLRACE_CHECK(gram.size() == tasks * tasks);
  const auto at = [&](int i, int j) {
    return gram[static_cast<std::size_t>(i) * tasks + static_cast<std::size_t>(j)];
  };
  for (int i = 0; i < T; ++i) {
    if (!(at(i, i) > 0)) continue;
    for (int j = 0; j <= i; ++j) {
      if (!(at(j, j) > 0)) continue;
      Pair& pair = pairs_(i, j);
      const double weight = math::running_share(pair.count, 1, length_);
      pair.product += weight * (at(i, j) - pair.product);
      pair.larger += weight * (at(i, i) - pair.larger);
      pair.smaller += weight * (at(j, j) - pair.smaller);
      pair.conflicts += weight * ((at(i, j) < 0 ? 1 : 0) - pair.conflicts);
      pair.count = std::min(pair.count + 1, length_);
    }
  }
}

std::optional<double> GradientCosine::cosine(int i, int j) const {
  const Pair& pair = pairs_(i, j);
  const double norms = std::sqrt(pair.larger) * std::sqrt(pair.smaller);
  if (pair.count == 0 || !(norms > 0)) return std::nullopt;
  return std::clamp(pair.product / norms, -1.0, 1.0);
}

std::optional<double> GradientCosine::conflict_rate(int i, int j) const {
  const Pair& pair = pairs_(i, j);
  return pair.count == 0 ? std::nullopt : std::optional(pair.conflicts);
}

std::optional<double> GradientCosine::norm(int task) const {
  const Pair& pair = pairs_(task, task);
  return pair.count == 0 ? std::nullopt : std::optional(std::sqrt(pair.product));
}

std::optional<double> GradientCosine::similarity(int task) const {
  double sum = 0, count = 0;
  for (int j = 0; j < pairs_.tasks(); ++j) {
    if (j == task) continue;
    if (const auto value = cosine(task, j)) {
      sum += std::max(*value, 0.0);
      count += 1;
    }
  }
  return count == 0 ? std::nullopt : std::optional(std::clamp(sum / count, 0.0, 1.0));
}

void GradientCosine::save(ByteWriter& writer) const {
  for (const Pair& pair : pairs_.values()) {
    for (const double value :
         {pair.count, pair.product, pair.conflicts, pair.larger, pair.smaller}) {
      writer.put(value);
    }
  }
}

void GradientCosine::restore(ByteReader& reader) {
  for (Pair& pair : pairs_.values()) {
    for (double* value :
         {&pair.count, &pair.product, &pair.conflicts, &pair.larger, &pair.smaller}) {
      *value = read_relation(reader);
    }
    if (pair.count < 0 || pair.larger < 0 || pair.smaller < 0) {
      throw StateError("the saved relations are out of their range");
    }
  }
}

}  // namespace millrace
