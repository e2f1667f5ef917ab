#include "learner/layers/input_layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

// The square of a larger gradient would not stay finite in an optimiser's float for long.
constexpr float kLargestGradient = 1e15F;

// Calls use(first, count) with the places in `column` of each row's keys that weighs nothing. (A
// batch that is only scored has no weights: all its rows are as they are.)
template <class Use>
void for_each_weightless(const Batch& batch, const KeyColumn& column, Use&& use) {
  for (std::size_t row = 0; row < batch.weights.size(); ++row) {
    if (batch.weights[row] != 0) continue;
    if (column.ends.empty()) {
      use(row, std::size_t{1});
    } else {
      const std::size_t first = row == 0 ? 0 : column.ends[row - 1];
      use(first, column.ends[row] - first);
    }
  }
}

template <class V>
auto& at(V& values, int index) {
  return values[static_cast<std::size_t>(index)];
}

}  // namespace

InputLayer::InputLayer(const Schema& schema, const EmbeddingOptions& options, double rate,
                       std::uint64_t seed)
    : schema_(schema),
      expire_after_(options.expire_after),
      sweep_every_(std::max(options.expire_after / 64, Duration{1000})),
      optimizer_(rate),
      moments_(schema.numeric_features().size()) {
  for (const Table& table : schema.tables()) {
    tables_.emplace_back(
        EmbeddingTable::Shape{table.name, table.dimension, RowOptimizer::state(table.dimension),
                              mix_bits(seed ^ mix_bits(table.seed))},
        options);
  }
  parts_of_table_.resize(tables_.size());
  gradients_.resize(tables_.size());
  for (const int feature : schema.key_features()) {
    KeyPart part;
    part.table = schema.table_of(feature);
    part.offset = schema.input_offset(feature);
    part.column.pooling = at(schema.features(), feature).pooling;
    at(parts_of_table_, part.table).push_back(static_cast<int>(keys_.size()));
    keys_.push_back(std::move(part));
  }
  int from = 0;
  for (const int feature : schema.dense_features()) {
    const int width = schema.input_width(feature);
    dense_.push_back({from, schema.input_offset(feature), width});
    from += width;
  }
}

void InputLayer::advance(EventTime due) {
  if (!due.is_finite() || due <= now_) return;
  const EventTime before = now_;
  now_ = due;
  if (!before.is_finite()) return;
  const std::int64_t step = sweep_every_.count();
  if (due.ms / step == before.ms / step) return;
  const EventTime swept{due.ms / step * step};
  for (EmbeddingTable& table : tables_) table.expire(swept, swept - before > expire_after_);
}

void InputLayer::look_up(const Batch& batch) {
  MILLRACE_CHECK(batch.columns.size() == keys_.size());
  batch_ = &batch;
  for (EmbeddingTable& table : tables_) {
    table.begin(now_.is_finite() ? now_ : kEarliestEventTime);
  }
  const bool all_weigh = learned_rows(batch) == batch.rows;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const KeyColumn& keys = batch.columns[i];
    PooledColumn& column = keys_[i].column;
    MILLRACE_CHECK((keys.ends.empty() ? keys.keys.size() : keys.ends.size()) ==
                   static_cast<std::size_t>(batch.rows));
    column.ends = keys.ends;
    column.slots.resize(keys.keys.size());
    if (all_weigh) {
      at(tables_, keys_[i].table).look_up(keys.keys, column.slots);
      continue;
    }
    learned_keys_ = keys.keys;
    for_each_weightless(batch, keys, [&](std::size_t first, std::size_t count) {
      std::fill_n(learned_keys_.begin() + static_cast<std::ptrdiff_t>(first), count, kMissingKey);
    });
    at(tables_, keys_[i].table).look_up(learned_keys_, column.slots);
  }
  if (!all_weigh) read_weightless();
}

void InputLayer::read_weightless() {
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const std::span<const std::uint64_t> keys(batch_->columns[i].keys);
    const std::span<std::uint32_t> slots(keys_[i].column.slots);
    for_each_weightless(*batch_, batch_->columns[i], [&](std::size_t first, std::size_t count) {
      at(tables_, keys_[i].table).read(keys.subspan(first, count), slots.subspan(first, count));
    });
  }
}

void InputLayer::gather(int first, View<float> x) const {
  MILLRACE_CHECK(x.cols == schema_.inputs() && first + x.rows <= batch_->rows);
  for (const KeyPart& part : keys_) {
    const EmbeddingTable& table = at(tables_, part.table);
    pool(part.column, table.used(), first, x.cols_from(part.offset, table.shape().dimension));
  }
  const auto& numeric = schema_.numeric_features();
  for (std::size_t f = 0; f < numeric.size(); ++f) {
    const int offset = schema_.input_offset(numeric[f]);
    const bool standardised = at(schema_.features(), numeric[f]).standardize;
    const float mean = moments_[f].mean(), inverse = moments_[f].inverse_deviation();
    for (int r = 0; r < x.rows; ++r) {
      const float value = batch_->numeric[static_cast<std::size_t>(first + r) * numeric.size() + f];
      const float plain = std::isnan(value) ? 0 : value;
      x(r, offset) = standardised ? standardise(value, mean, inverse) : plain;
    }
  }
  const auto width = static_cast<std::size_t>(schema_.dense_width());
  for (const CopiedPart& part : dense_) {
    for (int r = 0; r < x.rows; ++r) {
      std::copy_n(batch_->dense.data() + static_cast<std::size_t>(first + r) * width + part.from,
                  part.width, x.row(r) + part.offset);
    }
  }
}

void InputLayer::row_gradients(int table, View<const float> dx,
                               std::vector<float>& gradients) const {
  const int D = at(tables_, table).shape().dimension;
  gradients.assign(at(tables_, table).used().size() * static_cast<std::size_t>(D), 0);
  for (int r = 0; r < dx.rows; ++r) {
    for (const int part : at(parts_of_table_, table)) {
      const KeyPart& key = at(keys_, part);
      unpool_add(key.column, r, dx.row(r) + key.offset, D, gradients.data());
    }
  }
}

bool InputLayer::scatter(View<const float> dx, float scale) {
  MILLRACE_CHECK(dx.has_shape(batch_->rows, schema_.inputs()));
  bool finite = true;
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    std::vector<float>& gradients = gradients_[t];
    row_gradients(static_cast<int>(t), dx, gradients);
    bool small = true;
    for (float& g : gradients) {
      g *= scale;
      small &= std::abs(g) <= kLargestGradient;  // false for NaN
    }
    finite &= small;
  }
  return finite;
}

float InputLayer::keep() {
  float largest = 0;
  for (std::size_t t = 0; t < tables_.size(); ++t) {
    const float most =
        optimizer_.step(tables_[t].used(), tables_[t].shape().dimension, gradients_[t].data());
    if (!(most <= largest)) largest = std::isnan(largest) ? largest : most;
    tables_[t].keep();
  }
  for (std::size_t f = 0; f < moments_.size(); ++f) {
    const float* values = batch_->numeric.data() + f;
    moments_[f].add(batch_->rows, [&](int r) {
      const auto row = static_cast<std::size_t>(r);
      const bool weighs = batch_->weights.empty() || batch_->weights[row] != 0;
      return weighs ? values[row * moments_.size()] : std::numeric_limits<float>::quiet_NaN();
    });
  }
  batch_ = nullptr;
  return largest;
}

void InputLayer::undo() {
  for (EmbeddingTable& table : tables_) table.undo();
  batch_ = nullptr;
}

void InputLayer::put_rows(int table, std::span<const std::uint64_t> keys,
                          std::span<const float> weights, EventTime seen) {
  EmbeddingTable& rows = at(tables_, table);
  const auto D = static_cast<std::size_t>(rows.shape().dimension);
  MILLRACE_CHECK(batch_ == nullptr && (weights.empty() || weights.size() == keys.size() * D));
  std::vector<std::uint32_t> slots(keys.size());
  rows.begin(seen);
  rows.look_up(keys, slots);
  for (std::size_t i = 0; i < keys.size() && !weights.empty(); ++i) {
    MILLRACE_CHECK(slots[i] != EmbeddingTable::kNeutral);
    std::copy_n(weights.data() + i * D, D, rows.used()[slots[i]].values);
  }
  rows.keep();
}

void InputLayer::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                      StateChanges& changes) {
  ByteWriter numeric;
  for (const RunningMoments& moments : moments_) moments.save(numeric);
  changes.values.push_back({"numeric", numeric.take()});
  ByteWriter counts;
  counts.put(now_.ms);
  for (EmbeddingTable& table : tables_) {
    const EmbeddingTable::Counters& counters = table.counters();
    counts.put_text(table.shape().name);
    counts.put(counters.admitted);
    counts.put(counters.expired);
    counts.put(counters.refused);
    table.save(sequence, cleanings, changes);
  }
  changes.values.push_back({"tables", counts.take(), false});
}

bool InputLayer::restore_value(std::string_view name, std::string_view bytes) {
  ByteReader reader(bytes);
  if (name == "numeric") {
    for (RunningMoments& moments : moments_) moments.restore(reader);
  } else if (name == "tables") {
    now_ = {reader.get<std::int64_t>()};
    for (EmbeddingTable& table : tables_) {
      if (reader.get_text() != table.shape().name) throw StateError("the saved tables differ");
      EmbeddingTable::Counters counters;
      counters.admitted = reader.get<std::uint64_t>();
      counters.expired = reader.get<std::uint64_t>();
      counters.refused = reader.get<std::uint64_t>();
      table.restore_counters(counters);
    }
  } else {
    return false;
  }
  if (!reader.at_end()) throw StateError("saved state of the inputs has a wrong size");
  return true;
}

bool InputLayer::restore_block(std::string_view set, std::uint64_t sequence,
                               std::string_view bytes) {
  return std::any_of(tables_.begin(), tables_.end(),
                     [&](EmbeddingTable& table) { return table.restore(set, sequence, bytes); });
}

}  // namespace millrace
