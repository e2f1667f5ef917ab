#include <algorithm>

#include "serve/server.h"

namespace millrace {

void LatencyHistogram::observe(double value) {
  const auto edge = std::lower_bound(kLatencyEdges.begin(), kLatencyEdges.end(), value);
  buckets[static_cast<std::size_t>(edge - kLatencyEdges.begin())].fetch_add(
      1, std::memory_order_relaxed);
  seconds.fetch_add(value, std::memory_order_relaxed);
}

}  // namespace millrace
