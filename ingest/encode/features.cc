#include "ingest/encode/features.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "learner/base/check.h"
#include "learner/base/state.h"

namespace millrace {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The nearest finite f32; NaN stays.
float to_finite_float(double value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(value, -kMost, kMost));
}

template <class Integer>
std::uint64_t integer_key(Integer value, std::uint64_t seed) {
  std::array<char, 24> text;
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return feature_key({text.data(), static_cast<std::size_t>(end - text.data())}, seed);
}

template <class T>
void write(char*& at, const std::vector<T>& values) {
  if (values.empty()) return;
  std::memcpy(at, values.data(), values.size() * sizeof(T));
  at += values.size() * sizeof(T);
}

[[noreturn]] void not_of_this_schema() {
  throw StateError("the features of a saved row are not those of this schema");
}

// Hands out pieces of an encoded row.
class Pieces {
 public:
  explicit Pieces(std::string_view bytes) : at_(bytes.data()), left_(bytes.size()) {}

  template <class T>
  T take() {
    T value;
    std::memcpy(&value, take_bytes(sizeof value), sizeof value);
    return value;
  }
  template <class T>
  void append_to(std::vector<T>& values, std::size_t count) {
    if (count == 0) return;
    const char* const bytes = take_bytes(count * sizeof(T));
    const std::size_t before = values.size();
    values.resize(before + count);
    std::memcpy(values.data() + before, bytes, count * sizeof(T));
  }
  const char* take_bytes(std::size_t count) {
    if (count > left_) not_of_this_schema();
    const char* const bytes = at_;
    at_ += count;
    left_ -= count;
    return bytes;
  }
  bool at_end() const { return left_ == 0; }

 private:
  const char* at_;
  std::size_t left_;
};

}  // namespace

std::string expected_value(const Feature& feature) {
  switch (feature.kind) {
    case FeatureKind::kCategorical:
      return "a string, an integer or a boolean";
    case FeatureKind::kBag:
      return "a list of strings, integers or booleans";
    case FeatureKind::kNumeric:
      return "a number";
    case FeatureKind::kDense:
      return "a list of " + std::to_string(feature.width) + " numbers";
    case FeatureKind::kCross:
      return "no value of its own";
  }
  return "";
}

FeatureBuilder::FeatureBuilder(const Schema& schema) : schema_(schema) {
  std::size_t categorical = 0, bags = 0, numeric = 0, dense = 0;
  for (int f = 0; f < static_cast<int>(schema.features().size()); ++f) {
    const Feature& feature = schema.features()[static_cast<std::size_t>(f)];
    Column column{feature.kind, 0, feature.width, 0};
    if (const int table = schema.table_of(f); table >= 0) {
      column.seed = schema.tables()[static_cast<std::size_t>(table)].seed;
    }
    switch (feature.kind) {
      case FeatureKind::kCategorical:
        column.slot = categorical++;
        break;
      case FeatureKind::kBag:
        column.slot = bags++;
        break;
      case FeatureKind::kNumeric:
        column.slot = numeric++;
        break;
      case FeatureKind::kDense:
        column.slot = dense;
        dense += static_cast<std::size_t>(feature.width);
        break;
      case FeatureKind::kCross:
        break;
    }
    columns_.push_back(column);
  }
  categorical_.resize(categorical);
  bags_.resize(bags);
  numeric_.resize(numeric);
  dense_.resize(dense);
  present_.resize(columns_.size());
  clear();
}

void FeatureBuilder::mark(int feature) {
  std::uint8_t& present = present_[static_cast<std::size_t>(feature)];
  set_ += 1 - present;
  present = 1;
}

bool FeatureBuilder::set_key(int feature, std::uint64_t key) {
  const Column& c = column(feature);
  MILLRACE_CHECK(list_ == -1 || list_ == feature);
  if (c.kind == FeatureKind::kCategorical) {
    categorical_[c.slot] = key;
    mark(feature);
    return true;
  }
  if (c.kind != FeatureKind::kBag || list_ != feature) return false;
  bags_[c.slot].push_back(key);
  return true;
}

bool FeatureBuilder::set_value(int feature, double value) {
  const Column& c = column(feature);
  MILLRACE_CHECK(list_ == -1 || list_ == feature);
  if (!std::isfinite(value)) return false;
  if (c.kind == FeatureKind::kNumeric) {
    numeric_[c.slot] = value;
    mark(feature);
    return true;
  }
  if (c.kind != FeatureKind::kDense || list_ != feature || list_count_ == c.width) return false;
  dense_[c.slot + static_cast<std::size_t>(list_count_++)] = to_finite_float(value);
  return true;
}

bool FeatureBuilder::set_text(int feature, std::string_view value) {
  return set_key(feature, feature_key(value, column(feature).seed));
}

bool FeatureBuilder::set_integer(int feature, std::int64_t value) {
  const Column& c = column(feature);
  if (c.kind == FeatureKind::kNumeric || c.kind == FeatureKind::kDense) {
    return set_value(feature, static_cast<double>(value));
  }
  return set_key(feature, integer_key(value, c.seed));
}

bool FeatureBuilder::set_unsigned(int feature, std::uint64_t value) {
  const Column& c = column(feature);
  if (c.kind == FeatureKind::kNumeric || c.kind == FeatureKind::kDense) {
    return set_value(feature, static_cast<double>(value));
  }
  return set_key(feature, integer_key(value, c.seed));
}

bool FeatureBuilder::set_number(int feature, double value) { return set_value(feature, value); }

bool FeatureBuilder::set_boolean(int feature, bool value) {
  return set_text(feature, value ? "true" : "false");
}

void FeatureBuilder::set_missing(int feature) {
  const Column& c = column(feature);
  if (list_ == feature) list_ = -1;
  set_ -= present_[static_cast<std::size_t>(feature)];
  present_[static_cast<std::size_t>(feature)] = 0;
  switch (c.kind) {
    case FeatureKind::kCategorical:
      categorical_[c.slot] = kMissingKey;
      break;
    case FeatureKind::kBag:
      bags_[c.slot].clear();
      break;
    case FeatureKind::kNumeric:
      numeric_[c.slot] = kNaN;
      break;
    case FeatureKind::kDense:
      std::fill_n(dense_.begin() + static_cast<std::ptrdiff_t>(c.slot), c.width, 0.0f);
      break;
    case FeatureKind::kCross:
      break;
  }
}

bool FeatureBuilder::begin_list(int feature) {
  const Column& c = column(feature);
  MILLRACE_CHECK(list_ == -1);
  if (c.kind != FeatureKind::kBag && c.kind != FeatureKind::kDense) return false;
  if (c.kind == FeatureKind::kBag) bags_[c.slot].clear();
  list_ = feature;
  list_count_ = 0;
  return true;
}

bool FeatureBuilder::end_list(int feature) {
  MILLRACE_CHECK(list_ == feature);
  list_ = -1;
  const Column& c = column(feature);
  if (c.kind == FeatureKind::kDense && list_count_ != c.width) {
    set_missing(feature);
    return false;
  }
  mark(feature);
  return true;
}

void FeatureBuilder::clear() {
  std::fill(categorical_.begin(), categorical_.end(), kMissingKey);
  for (auto& bag : bags_) bag.clear();
  std::fill(numeric_.begin(), numeric_.end(), kNaN);
  std::fill(dense_.begin(), dense_.end(), 0.0f);
  std::fill(present_.begin(), present_.end(), std::uint8_t{0});
  set_ = 0;
  list_ = -1;
}

void FeatureBuilder::finish(EncodedFeatures& encoded) {
  MILLRACE_CHECK(list_ == -1);
  std::size_t keys = categorical_.size();
  for (const auto& bag : bags_) keys += bag.size();
  encoded.resize(keys * sizeof(std::uint64_t) + bags_.size() * sizeof(std::uint32_t) +
                 numeric_.size() * sizeof(double) + dense_.size() * sizeof(float));
  char* at = encoded.data();
  write(at, categorical_);
  for (const auto& bag : bags_) {
    const auto count = static_cast<std::uint32_t>(bag.size());
    std::memcpy(at, &count, sizeof count);
    at += sizeof count;
  }
  for (const auto& bag : bags_) write(at, bag);
  write(at, numeric_);
  write(at, dense_);
  clear();
}

void append_slice(std::uint64_t slice, EncodedFeatures& encoded) {
  encoded.append(reinterpret_cast<const char*>(&slice), sizeof slice);
}

void append_features(const Schema& schema, std::string_view encoded, Batch& batch) {
  const auto column_of = [&](int feature) -> KeyColumn& {
    return batch.columns[static_cast<std::size_t>(schema.column_of(feature))];
  };
  Pieces pieces(encoded);
  for (const int f : schema.features_of(FeatureKind::kCategorical)) {
    column_of(f).keys.push_back(pieces.take<std::uint64_t>());
  }
  const std::vector<int>& bags = schema.features_of(FeatureKind::kBag);
  const std::size_t count_bytes = bags.size() * sizeof(std::uint32_t);
  Pieces counts(std::string_view(pieces.take_bytes(count_bytes), count_bytes));
  for (const int f : bags) {
    KeyColumn& column = column_of(f);
    pieces.append_to(column.keys, counts.take<std::uint32_t>());
    column.ends.push_back(static_cast<std::uint32_t>(column.keys.size()));
  }
  for (const int f : schema.features_of(FeatureKind::kNumeric)) {
    const auto value = pieces.take<double>();
    if (schema.column_of(f) >= 0) {
      column_of(f).keys.push_back(schema.buckets_of(f).key(value));
    } else {
      const Transform transform = schema.features()[static_cast<std::size_t>(f)].transform;
      batch.numeric.push_back(to_finite_float(transformed(value, transform)));
    }
  }
  pieces.append_to(batch.dense, static_cast<std::size_t>(schema.dense_width()));
  const auto slice = pieces.at_end() ? std::uint64_t{0} : pieces.take<std::uint64_t>();
  if (!pieces.at_end()) not_of_this_schema();
  if (slice != 0 && batch.slices.empty()) {
    batch.slices.assign(static_cast<std::size_t>(batch.rows), 0);
  }
  if (slice != 0 || !batch.slices.empty()) batch.slices.push_back(slice);
  append_crosses(schema, batch);
  ++batch.rows;
}

}  // namespace millrace
