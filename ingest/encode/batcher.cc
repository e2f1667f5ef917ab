#include "ingest/encode/batcher.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "ingest/encode/features.h"
#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

// Rows at once are closed, and trained, before the others.
constexpr std::array<Stream, kStreams> kOrder{Stream::kAtOnce, Stream::kMatured};

std::string_view name_of(Stream stream) {
  return stream == Stream::kAtOnce ? "at_once" : "matured";
}

float to_label(double label, bool counts, const Task& task) {
  const bool has_meaning = !(label < 0 && is_never_negative(task.kind));
  if (!counts || !has_meaning) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(transformed(label, task.transform));
}

// Flags of a saved row.
constexpr std::uint8_t kMeasured = 1, kLast = 2;
// And bits of a saved condition.
constexpr std::uint8_t kHolds = 1, kCertain = 2;

bool is_empty(const Batch& batch) { return batch.rows == 0 && batch.measured.count() == 0; }

// Of an impression: 0 stands for none.
std::uint64_t key_of(const JoinedRow& row) {
  const std::uint64_t key =
      mix_bits(hash_bytes(row.impression_id) ^ static_cast<std::uint64_t>(row.time.ms));
  return key == 0 ? 1 : key;
}

}  // namespace

Batcher::Batcher(const Schema& schema, int batch, std::optional<Duration> span)
    : schema_(schema), batch_(batch), span_(span) {
  MILLRACE_CHECK(batch > 0);
  MILLRACE_CHECK(!span || span->count() > 0);
  for (const Stream stream : kOrder) open(stream).batch = empty_batch(schema, stream);
}

std::int64_t Batcher::cell_of(EventTime due) const { return span_ ? piece_of(due, *span_) : 0; }

void Batcher::add(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed) {
  reopen(closed);
  const bool feedback = schema_.has_immediate();
  row_.key = feedback ? key_of(row) : 0;
  if (feedback && (row.is_last || row.has_measured())) measure(row, seen, closed);
  if (!row.is_trained()) return;
  row_.due = row.due;
  row_.is_measured = row_.is_last = false;
  if (!row.keeps_score) row_.key = 0;
  row_.weight = static_cast<float>(row.weight);
  row_.user = row.user;
  row_.measure_weight = static_cast<float>(row.measure_weight.value_or(row.weight));
  row_.labels.clear();
  for (std::size_t k = 0; k < row.labels.size(); ++k) {
    row_.labels.push_back(to_label(row.labels[k], row.counts[k] != 0, schema_.tasks()[k]));
  }
  row_.condition = row.condition;
  row_.certain = row.certain;
  row_.origin = row.origin;
  row_.targets = row.targets;
  row_.since.assign(row.since.begin(), row.since.end());
  row_.until.assign(row.until.begin(), row.until.end());
  row_.features = row.features;
  append(open(row.stream), row_, seen, closed);
}

// The row's labels that are only measured, as a record of their own.
void Batcher::measure(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed) {
  row_.due = row.due;
  row_.is_measured = true;
  row_.is_last = row.is_last;
  row_.user = row.user;
  row_.weight = row_.measure_weight = static_cast<float>(row.measure_weight.value_or(row.weight));
  row_.labels.assign(row.measured.begin(), row.measured.end());
  row_.condition = row.condition;
  row_.certain.clear();
  row_.features = {};
  append(open(row.stream), row_, seen, closed);
}

void Batcher::append_measured(Open& open, const Row& row, std::vector<Batch>& closed) {
  MeasuredLabels& measured = open.batch.measured;
  if (measured.count() >= kMostMeasured) {
    // They go ahead; the rows of the open batch wait for more.
    Batch ahead = empty_batch(schema_, open.batch.stream);
    ahead.due = row.due;
    ahead.seen = open.batch.seen;
    ahead.measured = std::exchange(measured, {});
    closed.push_back(std::move(ahead));
    drop_measured(open);
  }
  measured.keys.push_back(row.key);
  measured.weights.push_back(row.weight);
  measured.labels.insert(measured.labels.end(), row.labels.begin(), row.labels.end());
  measured.condition.insert(measured.condition.end(), row.condition.begin(), row.condition.end());
  measured.last.push_back(row.is_last ? 1 : 0);
  measured.users.push_back(row.user);
}

// What is saved of an open batch, without the labels that have left it.
void Batcher::drop_measured(Open& open) {
  const std::string saved = std::exchange(open.rows, {});
  ByteReader reader(saved);
  while (!reader.at_end()) {
    const Row row = read(reader);
    if (!row.is_measured) write(row, open.rows);
  }
}

void Batcher::append(Open& open, const Row& row, EventTime seen, std::vector<Batch>& closed) {
  const std::int64_t cell = cell_of(row.due);
  if (!is_empty(open.batch) && open.cell != cell) close(open, closed);
  open.cell = cell;
  open.changed = true;

  Batch& batch = open.batch;
  if (row.is_measured) {
    append_measured(open, row, closed);
    batch.due = row.due;
    batch.seen = seen;
    write(row, open.rows);
    return;
  }
  if (batch.rows == 0) batch.first_due = row.due;
  append_features(schema_, row.features, batch);
  batch.labels.insert(batch.labels.end(), row.labels.begin(), row.labels.end());
  batch.condition.insert(batch.condition.end(), row.condition.begin(), row.condition.end());
  batch.weights.push_back(row.weight);
  batch.users.push_back(row.user);
  add_measure_weight(row, batch);
  add_certain(row, batch);
  if (schema_.has_immediate()) {
    batch.keys.push_back(row.key);
    batch.origin.insert(batch.origin.end(), row.origin.begin(), row.origin.end());
    batch.targets.insert(batch.targets.end(), row.targets.begin(), row.targets.end());
    batch.since.insert(batch.since.end(), row.since.begin(), row.since.end());
    batch.until.insert(batch.until.end(), row.until.begin(), row.until.end());
  }
  batch.due = row.due;
  batch.seen = seen;
  write(row, open.rows);
  if (batch.rows >= batch_) close(open, closed);
}

// Metrics weigh as losses do until the first row of which that is not so.
void Batcher::add_measure_weight(const Row& row, Batch& batch) {
  if (batch.measure_weights.empty()) {
    if (row.measure_weight == row.weight) return;
    batch.measure_weights.assign(batch.weights.begin(), batch.weights.end() - 1);
  }
  batch.measure_weights.push_back(row.measure_weight);
}

// Few rows of few streams have any.
void Batcher::add_certain(const Row& row, Batch& batch) {
  if (batch.certain.empty() && row.certain.empty()) return;
  const std::size_t before = batch.condition.size() - row.condition.size();
  batch.certain.resize(before);
  batch.certain.insert(batch.certain.end(), row.certain.begin(), row.certain.end());
  batch.certain.resize(batch.condition.size());
}

void Batcher::close(Open& open, std::vector<Batch>& closed) {
  const Stream stream = open.batch.stream;
  closed.push_back(std::exchange(open.batch, empty_batch(schema_, stream)));
  open.rows.clear();
  open.changed = true;
}

void Batcher::close_if_passed(Open& open, EventTime time, std::vector<Batch>& closed) {
  if (is_empty(open.batch) || !span_ || time == EventTime::before_all()) return;
  if (cell_of(time) > open.cell) close(open, closed);
}

void Batcher::close_passed(EventTime watermark, EventTime newest, std::vector<Batch>& closed) {
  reopen(closed);
  close_if_passed(open(Stream::kAtOnce), newest, closed);
  close_if_passed(open(Stream::kMatured), watermark, closed);
}

void Batcher::flush(Stream stream, std::vector<Batch>& closed) {
  reopen(closed);
  if (!is_empty(open(stream).batch)) close(open(stream), closed);
}

void Batcher::write(const Row& row, std::string& rows) const {
  ByteWriter writer;
  writer.put(row.due.ms);
  writer.put(row.weight);
  writer.put(row.measure_weight);
  writer.put(row.user);
  for (const float label : row.labels) writer.put(label);
  for (std::size_t k = 0; k < row.condition.size(); ++k) {
    const bool certain = !row.certain.empty() && row.certain[k] != 0;
    writer.put(static_cast<std::uint8_t>(row.condition[k] | (certain ? kCertain : 0)));
  }
  if (schema_.has_immediate()) {
    writer.put(
        static_cast<std::uint8_t>((row.is_measured ? kMeasured : 0) | (row.is_last ? kLast : 0)));
    writer.put(row.key);
    for (std::size_t k = 0; k < row.labels.size() && !row.is_measured; ++k) {
      writer.put(row.origin[k]);
      writer.put(row.targets[k]);
      if (!schema_.has_delays()) continue;
      writer.put(row.since[k]);
      writer.put(row.until[k]);
    }
  }
  writer.put_text(row.features);
  rows += writer.bytes();
}

Batcher::Row Batcher::read(ByteReader& reader) const {
  Row row;
  row.due.ms = reader.get<std::int64_t>();
  row.weight = reader.get<float>();
  row.measure_weight = reader.get<float>();
  row.user = reader.get<std::uint64_t>();
  for (std::size_t k = 0; k < schema_.tasks().size(); ++k) {
    row.labels.push_back(reader.get<float>());
  }
  for (std::size_t k = 0; k < schema_.tasks().size(); ++k) {
    const auto bits = reader.get<std::uint8_t>();
    row.condition.push_back(bits & kHolds);
    if ((bits & kCertain) == 0) continue;
    row.certain.resize(schema_.tasks().size());
    row.certain[k] = 1;
  }
  if (schema_.has_immediate()) {
    const auto flags = reader.get<std::uint8_t>();
    row.is_measured = (flags & kMeasured) != 0;
    row.is_last = (flags & kLast) != 0;
    row.key = reader.get<std::uint64_t>();
    for (std::size_t k = 0; k < row.labels.size() && !row.is_measured; ++k) {
      row.origin.push_back(reader.get<Origin>());
      row.targets.push_back(reader.get<std::uint8_t>());
      if (!schema_.has_delays()) continue;
      row.since.push_back(reader.get<float>());
      row.until.push_back(reader.get<float>());
    }
  }
  row.features = reader.get_text();
  return row;
}

std::string Batcher::carried_over(std::string_view rows, const Batcher& from,
                                  const std::vector<int>& tasks,
                                  const FeatureTranscoder& transcode) const {
  std::string carried;
  ByteReader reader(rows);
  while (!reader.at_end()) {
    const Row old = from.read(reader);
    Row row;
    row.due = old.due;
    row.is_measured = old.is_measured;
    row.is_last = old.is_last;
    row.key = old.key;
    row.weight = old.weight;
    row.measure_weight = old.measure_weight;
    row.user = old.user;
    bool any = old.is_last;  // it ends what the learner keeps of the impression
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      const auto source = static_cast<std::size_t>(tasks[k]);
      // A label that a policy trains early would be measured as if it were final.
      const bool early = !schema_.has_immediate() && tasks[k] >= 0 && !old.origin.empty() &&
                         old.origin[source] != Origin::kFinal;
      const bool kept = tasks[k] >= 0 && !early;
      row.labels.push_back(kept ? old.labels[source] : std::numeric_limits<float>::quiet_NaN());
      row.condition.push_back(kept ? old.condition[source] : 0);
      if (!old.certain.empty()) row.certain.push_back(kept ? old.certain[source] : 0);
      const bool has_more = kept && !old.origin.empty();
      row.origin.push_back(has_more ? old.origin[source] : Origin::kFinal);
      row.targets.push_back(has_more ? old.targets[source] : std::uint8_t{0});
      const bool tells = has_more && !old.until.empty();
      row.since.push_back(tells ? old.since[source] : 0);
      row.until.push_back(tells ? old.until[source] : std::numeric_limits<float>::quiet_NaN());
      any |= !std::isnan(row.labels.back()) || row.targets.back() != 0;
    }
    if (!any || (row.is_measured && !schema_.has_immediate())) continue;
    const EncodedFeatures features = row.is_measured ? EncodedFeatures() : transcode(old.features);
    row.features = features;
    write(row, carried);
  }
  return carried;
}

StateChanges Batcher::save(std::uint64_t, std::span<const Cleaning>) {
  StateChanges changes;
  if (!reopened_) return changes;  // all is still as it was restored
  bool any = false;
  ByteWriter seen;
  for (const Stream stream : kOrder) {
    Open& o = open(stream);
    seen.put(o.batch.seen.ms);
    if (!std::exchange(o.changed, false)) continue;
    changes.values.push_back({std::string(name_of(stream)), o.rows});
    any = true;
  }
  if (any) changes.values.push_back({"seen", seen.take(), false});
  return changes;
}

void Batcher::restore_value(std::string_view name, std::string_view bytes) {
  reopened_ = false;
  ByteReader reader(bytes);
  for (const Stream stream : kOrder) {
    if (name == "seen") {
      open(stream).restored_seen.ms = reader.get<std::int64_t>();
    } else if (name == name_of(stream)) {
      while (!reader.at_end()) read(reader);  // damage shows now
      open(stream).restored = bytes;
      open(stream).changed = false;
    }
  }
  if (!reader.at_end()) {
    throw StateError("the batches have no value \"" + std::string(name) + "\" of this form");
  }
}

void Batcher::restore_block(std::string_view set, std::uint64_t, std::string_view) {
  throw StateError("the batches have no set \"" + std::string(set) + "\"");
}

// The rows of open batches go through the same cutting as new ones.
void Batcher::reopen(std::vector<Batch>& closed) {
  if (std::exchange(reopened_, true)) return;
  for (const Stream stream : kOrder) {
    Open& o = open(stream);
    const std::string rows = std::move(o.restored);
    ByteReader reader(rows);
    while (!reader.at_end()) append(o, read(reader), o.restored_seen, closed);
    o.restored.clear();
  }
}

}  // namespace millrace
