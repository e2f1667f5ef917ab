#include "learner/data/derived_keys.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "learner/base/check.h"
#include "learner/data/batch.h"
#include "learner/data/feature_key.h"
#include "learner/data/schema.h"

namespace millrace {

static_assert(kMissingKey == 0, "CrossKey relies on it");

Buckets::Buckets(const Feature& feature, std::uint64_t table_seed)
    : boundaries_(feature.boundaries) {
  if (boundaries_.empty()) {
    MILLRACE_CHECK(feature.buckets > 1 && feature.range.size() == 2);
    const double least = transformed(feature.range[0], feature.transform);
    const double step =
        (transformed(feature.range[1], feature.transform) - least) / feature.buckets;
    for (int i = 1; i < feature.buckets; ++i) {
      boundaries_.push_back(transformed_back(least + i * step, feature.transform));
    }
  }
  MILLRACE_CHECK(std::is_sorted(boundaries_.begin(), boundaries_.end()));
  for (std::size_t i = 0; i <= boundaries_.size(); ++i) {
    keys_.push_back(feature_key(std::to_string(i), table_seed));
  }
}

std::uint64_t Buckets::key(double x) const {
  if (std::isnan(x)) return kMissingKey;
  const auto at = std::upper_bound(boundaries_.begin(), boundaries_.end(), x);
  return keys_[static_cast<std::size_t>(at - boundaries_.begin())];
}

void append_crosses(const Schema& schema, Batch& batch) {
  for (const Cross& cross : schema.crosses()) {
    CrossKey key(cross.seed);
    for (const int part : cross.columns) {
      key.add(batch.columns[static_cast<std::size_t>(part)].keys.back());
    }
    batch.columns[static_cast<std::size_t>(cross.column)].keys.push_back(key.key());
  }
}

}  // namespace millrace
