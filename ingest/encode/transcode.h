#pragma once

#include <string_view>
#include <vector>

#include "ingest/encode/features.h"
#include "learner/data/schema.h"

namespace millrace {

/// Carries encoded features from one schema over to another, when a store is migrated: a feature
/// that both have, with the same name, kind, table (its keys' seed) and width, keeps its value; one
/// that only the new schema has is missing. Threads: one at a time.
class FeatureTranscoder {
 public:
  /// Borrows both.
  FeatureTranscoder(const Schema& from, const Schema& to);

  /// Error: throws StateError where `encoded` was not made with the old schema.
  EncodedFeatures operator()(std::string_view encoded) const;

  /// By feature of the new schema: the same feature of the old one, or −1.
  const std::vector<int>& sources() const { return sources_; }

 private:
  const Schema& from_;
  const Schema& to_;
  std::vector<int> sources_;
};

}  // namespace millrace
