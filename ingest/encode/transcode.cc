#include "ingest/encode/transcode.h"

#include <cstdint>
#include <limits>

#include "learner/base/state.h"

namespace millrace {
namespace {

const Feature& feature_of(const Schema& schema, int feature) {
  return schema.features()[static_cast<std::size_t>(feature)];
}

bool is_same(const Feature& a, const Feature& b) {
  // A number is encoded as it came, whatever is made of it.
  return a.kind == b.kind &&
         (a.kind == FeatureKind::kNumeric || (a.table == b.table && a.width == b.width));
}

bool is_bag(const Schema& schema, int feature) {
  return feature_of(schema, feature).kind == FeatureKind::kBag;
}

// The values of one encoded row, by feature; of each the fields of its kind.
struct Value {
  std::vector<std::uint64_t> keys = {kMissingKey};  // of a bag: its elements
  double number = std::numeric_limits<double>::quiet_NaN();
  std::vector<float> vector;
};

std::vector<Value> read(const Schema& schema, std::string_view encoded, std::uint64_t& slice) {
  std::vector<Value> values(schema.features().size());
  const auto value = [&](int feature) -> Value& {
    return values[static_cast<std::size_t>(feature)];
  };
  ByteReader reader(encoded);
  for (const int f : schema.features_of(FeatureKind::kCategorical)) {
    value(f).keys[0] = reader.get<std::uint64_t>();
  }
  for (const int f : schema.features_of(FeatureKind::kBag)) {
    value(f).keys.resize(reader.get<std::uint32_t>());
  }
  for (const int f : schema.features_of(FeatureKind::kBag)) {
    for (std::uint64_t& key : value(f).keys) key = reader.get<std::uint64_t>();
  }
  for (const int f : schema.features_of(FeatureKind::kNumeric)) {
    value(f).number = reader.get<double>();
  }
  for (const int f : schema.dense_features()) {
    value(f).vector.resize(static_cast<std::size_t>(feature_of(schema, f).width));
    for (float& number : value(f).vector) number = reader.get<float>();
  }
  slice = reader.at_end() ? 0 : reader.get<std::uint64_t>();
  if (!reader.at_end()) throw StateError("encoded features are longer than their schema says");
  return values;
}

EncodedFeatures write(const Schema& schema, const std::vector<Value>& values) {
  const auto value = [&](int feature) -> const Value& {
    return values[static_cast<std::size_t>(feature)];
  };
  ByteWriter writer;
  for (const int f : schema.features_of(FeatureKind::kCategorical)) writer.put(value(f).keys[0]);
  for (const int f : schema.features_of(FeatureKind::kBag)) {
    writer.put(static_cast<std::uint32_t>(value(f).keys.size()));
  }
  for (const int f : schema.features_of(FeatureKind::kBag)) {
    for (const std::uint64_t key : value(f).keys) writer.put(key);
  }
  for (const int f : schema.features_of(FeatureKind::kNumeric)) writer.put(value(f).number);
  for (const int f : schema.dense_features()) {
    for (const float number : value(f).vector) writer.put(number);
  }
  return writer.take();
}

}  // namespace

FeatureTranscoder::FeatureTranscoder(const Schema& from, const Schema& to) : from_(from), to_(to) {
  for (const Feature& feature : to.features()) {
    const int source = from.find_feature(feature.name);
    sources_.push_back(source >= 0 && is_same(feature_of(from, source), feature) ? source : -1);
  }
}

EncodedFeatures FeatureTranscoder::operator()(std::string_view encoded) const {
  std::uint64_t slice = 0;
  std::vector<Value> old = read(from_, encoded, slice);
  std::vector<Value> values(sources_.size());
  for (std::size_t f = 0; f < values.size(); ++f) {
    if (sources_[f] >= 0) {
      values[f] = std::move(old[static_cast<std::size_t>(sources_[f])]);
    } else if (is_bag(to_, static_cast<int>(f))) {
      values[f].keys.clear();
    } else {
      values[f].vector.resize(static_cast<std::size_t>(to_.features()[f].width));
    }
  }
  EncodedFeatures written = write(to_, values);
  if (slice != 0) append_slice(slice, written);
  return written;
}

}  // namespace millrace
