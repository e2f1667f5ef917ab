#pragma once

#include "learner/base/fields.h"

namespace millrace {

/// The `embeddings:` section of the configuration; the limits hold for each table.
struct EmbeddingOptions {
  int admit_after = 1;
  Duration expire_after{30LL * 86'400'000};
  std::int64_t max_rows = 10'000'000;

  static constexpr auto fields() {
    using E = EmbeddingOptions;
    return std::tuple{
        field("admit_after", &E::admit_after, "How often a key is seen before it gets a row.", 1,
              1'000'000),
        field("expire_after", &E::expire_after,
              "A row that no training row has touched for this long, in event time, is dropped.",
              Duration{1000}),
        field("max_rows", &E::max_rows,
              "Rows of a table; keys beyond it use the neutral row, and are counted.", 1),
    };
  }
};

}  // namespace millrace
