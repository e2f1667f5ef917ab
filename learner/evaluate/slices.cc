#include "learner/evaluate/slices.h"

#include <algorithm>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/data/feature_key.h"

namespace millrace {
namespace {

constexpr std::string_view kValue = "evaluate/slices";

}  // namespace

SliceKeys::SliceKeys(const Schema& schema, const SliceOptions& options) {
  MILLRACE_CHECK(options.feature.empty() || !options.event);
  if (options.feature.empty() && !options.event) return;
  std::uint64_t seed = 0;
  if (!options.event) {
    const int feature = schema.find_feature(options.feature);
    if (feature < 0) return;
    const auto& keys = schema.key_features();
    column_ = static_cast<int>(std::find(keys.begin(), keys.end(), feature) - keys.begin());
    MILLRACE_CHECK(schema.features()[static_cast<std::size_t>(feature)].kind ==
                   FeatureKind::kCategorical);
    seed = schema.tables()[static_cast<std::size_t>(schema.table_of(feature))].seed;
  }
  fixed_ = !options.values.empty();
  most_ = fixed_ ? static_cast<int>(options.values.size()) : options.most;
  std::string told = (options.event ? "\t" : options.feature) + '\n' + std::to_string(most_);
  for (const auto& [value, name] : options.values) {
    told += '\n' + value;
    keys_.push_back(options.event ? slice_key(value) : feature_key(value, seed));
    names_.push_back(name.empty() ? value : name);
  }
  stamp_ = print_key(hash_bytes(told));
  for (std::size_t s = 0; s < keys_.size(); ++s) {
    sorted_.emplace_back(keys_[s], static_cast<int>(s));
  }
  std::sort(sorted_.begin(), sorted_.end());
}

const std::vector<int>& SliceKeys::take(const Batch& batch) {
  slices_.clear();
  if (count() == 0) return slices_;
  if (column_ < 0 && batch.slices.empty()) {
    slices_.assign(static_cast<std::size_t>(batch.rows), other());
    return slices_;
  }
  const std::vector<std::uint64_t>& keys =
      column_ < 0 ? batch.slices : batch.columns[static_cast<std::size_t>(column_)].keys;
  for (const std::uint64_t key : keys) slices_.push_back(slice_of(key));
  return slices_;
}

int SliceKeys::slice_of(std::uint64_t key) {
  auto found = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(key, 0));
  if (found != sorted_.end() && found->first == key) return found->second;
  if (fixed_ || key == kMissingKey || static_cast<int>(keys_.size()) == most_) return other();
  found = sorted_.emplace(found, key, static_cast<int>(keys_.size()));
  keys_.push_back(key);
  return found->second;
}

std::string SliceKeys::name(int slice) const {
  const auto at = static_cast<std::size_t>(slice);
  if (slice == other()) return "other";
  if (fixed_) return names_[at];
  return at < keys_.size() ? print_key(keys_[at]) : std::string();
}

void SliceKeys::save(StateChanges& changes) const {
  if (count() == 0 || fixed_) return;
  ByteWriter writer;
  writer.put_text(stamp_);
  writer.put_all(keys_);
  changes.values.push_back({std::string(kValue), writer.take()});
}

bool SliceKeys::restore(std::string_view name, std::string_view bytes) {
  if (name != kValue) return false;
  ByteReader reader(bytes);
  const bool own = reader.get_text() == stamp_;
  const std::vector<std::uint64_t> keys = reader.get_all<std::uint64_t>();
  if (!reader.at_end()) throw StateError("saved slices have a wrong size");
  if (!own || fixed_ || count() == 0) return true;
  if (static_cast<int>(keys.size()) > most_) throw StateError("too many slices were saved");
  keys_ = keys;
  sorted_.clear();
  for (std::size_t s = 0; s < keys_.size(); ++s) {
    sorted_.emplace_back(keys_[s], static_cast<int>(s));
  }
  std::sort(sorted_.begin(), sorted_.end());
  return true;
}

void SparseSlices::save(ByteWriter& writer) const {
  writer.put(static_cast<std::uint32_t>(slices.size()));
  for (const auto& [slice, tally] : slices) {
    writer.put(static_cast<std::uint32_t>(slice));
    tally.save(writer);
  }
}

SparseSlices SparseSlices::restored(ByteReader& reader) {
  SparseSlices restored;
  for (auto count = reader.get<std::uint32_t>(); count > 0; --count) {
    const auto slice = reader.get<std::uint32_t>();
    if (slice > SliceOptions::kMost) throw StateError("a saved slice is out of range");
    restored.slices.emplace_back(static_cast<int>(slice), SparseTally::restored(reader));
  }
  return restored;
}

SlicedTally::SlicedTally(bool binary, int slices)
    : binary_(binary), slices_(static_cast<std::size_t>(slices)) {}

Tally& SlicedTally::of(int slice) {
  auto& tally = slices_[static_cast<std::size_t>(slice)];
  if (!tally) tally.emplace(binary_);
  return *tally;
}

void SlicedTally::add(const SlicedMeasurement& measurement) {
  ++rows_;
  of(measurement.slice).add(measurement.row);
}

void SlicedTally::add(const SparseSlices& other) {
  for (const auto& [slice, tally] : other.slices) {
    if (slice >= static_cast<int>(slices_.size())) continue;
    rows_ += tally.sums.rows;
    of(slice).add(tally);
  }
}

void SlicedTally::clear() {
  rows_ = 0;
  for (auto& tally : slices_) {
    if (tally) tally->clear();
  }
}

SparseSlices SlicedTally::sparse() const {
  SparseSlices sparse;
  for (std::size_t s = 0; s < slices_.size(); ++s) {
    if (slices_[s] && slices_[s]->rows() > 0) {
      sparse.slices.emplace_back(static_cast<int>(s), slices_[s]->sparse());
    }
  }
  return sparse;
}

std::optional<Figures> SlicedTally::figures(int slice) const {
  const auto& tally = slices_[static_cast<std::size_t>(slice)];
  return tally && tally->rows() > 0 ? std::optional(tally->figures()) : std::nullopt;
}

}  // namespace millrace
