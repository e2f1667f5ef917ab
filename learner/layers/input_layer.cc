#include "learner/layers/input_layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

// Fewer keys in a batch are not worth waking another thread.
constexpr int kLeastShared = 2048;

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

InputLayer::InputLayer(const Schema& schema, const EmbeddingOptions& options,
                       const EmbeddingOptimizerOptions& optimizer, std::uint64_t seed,
                       Threads* threads)
    : schema_(schema),
      expire_after_(options.expire_after),
      sweep_every_(std::max(options.expire_after / 64, Duration{1000})),
      optimizer_(optimizer),
      threads_(threads),
      moments_(schema.numeric_features().size()) {
  for (const Table& table : schema.tables()) {
    tables_.emplace_back(
        EmbeddingTable::Shape{table.name, table.dimension, optimizer_.state(table.dimension),
                              mix_bits(seed ^ mix_bits(table.seed)), optimizer_.starts_at_zero()},
        options);
  }
  parts_.resize(tables_.size());
  for (const int feature : schema.key_features()) {
    KeyPart part;
    part.table = schema.table_of(feature);
    part.offset = schema.input_offset(feature);
    part.column.pooling = at(schema.features(), feature).pooling;
    at(parts_, part.table).keys.push_back(static_cast<int>(keys_.size()));
    keys_.push_back(std::move(part));
  }
  for (TablePart& part : parts_) part.columns.resize(part.keys.size());
  int from = 0;
  for (const int feature : schema.dense_features()) {
    const int width = schema.input_width(feature);
    dense_.push_back({from, schema.input_offset(feature), width});
    from += width;
  }
}

template <class Work>
void InputLayer::for_tables(const Work& work) {
  const int count = static_cast<int>(tables_.size());
  const long keys = batch_ == nullptr ? 0 : long{batch_->rows} * static_cast<long>(keys_.size());
  if (threads_ != nullptr && keys >= kLeastShared) {
    threads_->run(count, [&](int t) { work(static_cast<std::size_t>(t)); });
  } else {
    for (int t = 0; t < count; ++t) work(static_cast<std::size_t>(t));
  }
}

void InputLayer::advance(EventTime due) {
  const EventTime before = now_;
  if (due.is_finite() && now_ < due) now_ = due;
  const std::int64_t step = sweep_every_.count();
  if (before.is_finite() && now_.ms / step != before.ms / step) {
    const EventTime swept{now_.ms / step * step};
    for (EmbeddingTable& table : tables_) table.expire(swept, swept - before > expire_after_);
  }
  for (EmbeddingTable& table : tables_) table.make_room(now());
}

void InputLayer::look_up(const Batch& batch) {
  MILLRACE_CHECK(batch.columns.size() == keys_.size());
  batch_ = &batch;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const KeyColumn& keys = batch.columns[i];
    MILLRACE_CHECK((keys.ends.empty() ? keys.keys.size() : keys.ends.size()) ==
                   static_cast<std::size_t>(batch.rows));
  }
  const bool all_weigh = learned_rows(batch) == batch.rows;
  for_tables([&](std::size_t t) { look_up(t, all_weigh); });
}

// The keys of one table: first those that are learned from, then those that are only read.
void InputLayer::look_up(std::size_t t, bool all_weigh) {
  EmbeddingTable& table = tables_[t];
  table.begin(now());
  for (const int i : parts_[t].keys) {
    const KeyColumn& keys = at(batch_->columns, i);
    KeyPart& part = at(keys_, i);
    part.column.ends = keys.ends;
    part.column.slots.resize(keys.keys.size());
    if (all_weigh) {
      table.look_up(keys.keys, part.column.slots);
      continue;
    }
    part.learned = keys.keys;
    for_each_weightless(*batch_, keys, [&](std::size_t first, std::size_t count) {
      std::fill_n(part.learned.begin() + static_cast<std::ptrdiff_t>(first), count, kMissingKey);
    });
    table.look_up(part.learned, part.column.slots);
  }
  if (all_weigh) return;
  for (const int i : parts_[t].keys) {
    const std::span<const std::uint64_t> keys(at(batch_->columns, i).keys);
    const std::span<std::uint32_t> slots(at(keys_, i).column.slots);
    for_each_weightless(*batch_, at(batch_->columns, i), [&](std::size_t first, std::size_t count) {
      table.read(keys.subspan(first, count), slots.subspan(first, count));
    });
  }
}

void InputLayer::gather(int first, View<float> x) const {
  MILLRACE_CHECK(x.cols == schema_.inputs() && first + x.rows <= batch_->rows);
  for (const KeyPart& part : keys_) {
    const EmbeddingTable& table = at(tables_, part.table);
    pool(part.column, table.weights().data(), first,
         x.cols_from(part.offset, table.shape().dimension));
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
  std::vector<ColumnGradient> columns;
  for (const int part : at(parts_, table).keys) {
    const KeyPart& key = at(keys_, part);
    columns.push_back({&key.column, dx.cols_from(key.offset, D)});
  }
  gradients.resize(at(tables_, table).used().size() * static_cast<std::size_t>(D));
  unpool(columns, D, 1, gradients);
}

bool InputLayer::scatter(View<const float> dx, float scale) {
  MILLRACE_CHECK(dx.has_shape(batch_->rows, schema_.inputs()));
  for_tables([&](std::size_t t) {
    TablePart& part = parts_[t];
    const int D = tables_[t].shape().dimension;
    for (std::size_t i = 0; i < part.keys.size(); ++i) {
      const KeyPart& key = at(keys_, part.keys[i]);
      part.columns[i] = {&key.column, dx.cols_from(key.offset, D)};
    }
    part.gradients.resize(tables_[t].used().size() * static_cast<std::size_t>(D));
    part.finite = unpool(part.columns, D, scale, part.gradients);
  });
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const TablePart& part) { return part.finite; });
}

float InputLayer::keep(double fraction) {
  steps_ += fraction;
  const auto moment =
      static_cast<std::uint32_t>(static_cast<std::uint64_t>(steps_ * RowOptimizer::kUnitsPerStep));
  for_tables([&](std::size_t t) {
    TablePart& part = parts_[t];
    part.largest = optimizer_.step(tables_[t].learned(), tables_[t].shape().dimension,
                                   part.gradients.data(), moment);
    tables_[t].keep();
  });
  float largest = 0;
  for (const TablePart& part : parts_) {
    if (!(part.largest <= largest)) largest = std::isnan(largest) ? largest : part.largest;
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
  counts.put(steps_);
  for (EmbeddingTable& table : tables_) {
    const EmbeddingTable::Counters& counters = table.counters();
    counts.put_text(table.shape().name);
    counts.put(counters.admitted);
    counts.put(counters.expired);
    counts.put(counters.refused);
    counts.put(counters.evicted);
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
    steps_ = reader.get<double>();
    for (EmbeddingTable& table : tables_) {
      if (reader.get_text() != table.shape().name) throw StateError("the saved tables differ");
      EmbeddingTable::Counters counters;
      counters.admitted = reader.get<std::uint64_t>();
      counters.expired = reader.get<std::uint64_t>();
      counters.refused = reader.get<std::uint64_t>();
      counters.evicted = reader.get<std::uint64_t>();
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
