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
  const auto lacks = [&](int f) {
    return Lacking{has, schema.features().size(), static_cast<std::size_t>(f)};
  };
  const auto wanted = [&](int f) {
    const auto at = static_cast<std::size_t>(f);
    return !schema.features()[at].context && context_has[at] != 0;
  };
  // Crosses are made of their parts when they are scored.
  for (const int f : schema.key_features()) {
    if (!wanted(f) || schema.is_cross(f)) continue;
    const auto column = static_cast<std::size_t>(schema.column_of(f));
    const KeyColumn& from = context.columns[column];
    if (schema.features()[static_cast<std::size_t>(f)].kind == FeatureKind::kBag) {
      fill_bags(lacks(f), from, candidates.columns[column], rows);
    } else {
      fill_keys(lacks(f), from, candidates.columns[column], rows);
    }
  }
  const std::size_t numbers = schema.numeric_features().size();
  for (std::size_t n = 0; n < numbers; ++n) {
    const int f = schema.numeric_features()[n];
    if (wanted(f)) fill_numbers(lacks(f), context.numeric, candidates.numeric, rows, numbers, n, 1);
  }
  std::size_t at = 0;
  for (const int f : schema.dense_features()) {
    const auto width = static_cast<std::size_t>(schema.input_width(f));
    if (wanted(f)) {
      fill_numbers(lacks(f), context.dense, candidates.dense, rows,
                   static_cast<std::size_t>(schema.dense_width()), at, width);
    }
    at += width;
  }
}

}  // namespace millrace
