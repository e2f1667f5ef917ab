#include "serve/api/context_fallback.h"

#include <algorithm>
#include <cstddef>

namespace millrace {
namespace {

// What a filling needs of one feature: which rows lack it.
struct Lacking {
  const std::vector<std::uint8_t>& has;
  std::size_t features;
  std::size_t feature;
  bool operator()(std::size_t row) const { return has[row * features + feature] == 0; }
};

void fill_keys(const Lacking& lacks, const KeyColumn& from, KeyColumn& to, std::size_t rows) {
  for (std::size_t r = 0; r < rows; ++r) {
    if (lacks(r)) to.keys[r] = from.keys[0];
  }
}

void fill_bags(const Lacking& lacks, const KeyColumn& from, KeyColumn& to, std::size_t rows) {
  KeyColumn filled;
  filled.ends.reserve(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const KeyColumn& source = lacks(r) ? from : to;
    const std::size_t at = lacks(r) ? 0 : r;
    const auto first = static_cast<std::ptrdiff_t>(at == 0 ? 0 : source.ends[at - 1]);
    const auto last = static_cast<std::ptrdiff_t>(source.ends[at]);
    filled.keys.insert(filled.keys.end(), source.keys.begin() + first, source.keys.begin() + last);
    filled.ends.push_back(static_cast<std::uint32_t>(filled.keys.size()));
  }
  to = std::move(filled);
}

void fill_numbers(const Lacking& lacks, const std::vector<float>& from, std::vector<float>& to,
                  std::size_t rows, std::size_t stride, std::size_t at, std::size_t width) {
  for (std::size_t r = 0; r < rows; ++r) {
    if (lacks(r)) std::copy_n(from.data() + at, width, to.data() + r * stride + at);
  }
}

}  // namespace

void fill_from_context(const Schema& schema, const std::vector<std::uint8_t>& context_has,
                       const std::vector<std::uint8_t>& has, const Batch& context,
                       Batch& candidates) {
  const auto rows = static_cast<std::size_t>(candidates.rows);
  std::size_t column = 0, number = 0, dense = 0;
  for (std::size_t f = 0; f < schema.features().size(); ++f) {
    const Feature& feature = schema.features()[f];
    const bool wanted = !feature.context && context_has[f] != 0;
    const Lacking lacks{has, schema.features().size(), f};
    switch (feature.kind) {
      case FeatureKind::kCategorical:
        if (wanted) fill_keys(lacks, context.columns[column], candidates.columns[column], rows);
        ++column;
        break;
      case FeatureKind::kBag:
        if (wanted) fill_bags(lacks, context.columns[column], candidates.columns[column], rows);
        ++column;
        break;
      case FeatureKind::kNumeric:
        if (wanted) {
          fill_numbers(lacks, context.numeric, candidates.numeric, rows,
                       schema.numeric_features().size(), number, 1);
        }
        ++number;
        break;
      case FeatureKind::kDense: {
        const auto width = static_cast<std::size_t>(feature.width);
        if (wanted) {
          fill_numbers(lacks, context.dense, candidates.dense, rows,
                       static_cast<std::size_t>(schema.dense_width()), dense, width);
        }
        dense += width;
        break;
      }
    }
  }
}

}  // namespace millrace
