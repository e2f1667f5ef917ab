#include "ingest/encode/batcher.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "ingest/encode/features.h"
#include "learner/base/check.h"

namespace millrace {
namespace {

// Rows at once are closed, and trained, before the others.
constexpr std::array<Stream, kStreams> kOrder{Stream::kAtOnce, Stream::kMatured};

std::string_view name_of(Stream stream) {
  return stream == Stream::kAtOnce ? "at_once" : "matured";
}

float to_label(double label, bool counts, Transform transform) {
  if (!counts) return std::numeric_limits<float>::quiet_NaN();
  if (transform == Transform::kLog1p) label = std::copysign(std::log1p(std::fabs(label)), label);
  return static_cast<float>(label);
}

}  // namespace

Batcher::Batcher(const Schema& schema, int batch, std::optional<Duration> span)
    : schema_(schema), batch_(batch), span_(span) {
  MILLRACE_CHECK(batch > 0);
  MILLRACE_CHECK(!span || span->count() > 0);
  for (const Stream stream : kOrder) open(stream).batch = empty_batch(schema, stream);
}

std::int64_t Batcher::cell_of(EventTime due) const {
  if (!span_) return 0;
  const std::int64_t span = span_->count();
  return due.ms / span - (due.ms % span < 0 ? 1 : 0);
}

void Batcher::add(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed) {
  reopen(closed);
  if (!row.has_counted_label()) return;
  row_.due = row.due;
  row_.weight = static_cast<float>(row.weight);
  row_.labels.clear();
  for (std::size_t k = 0; k < row.labels.size(); ++k) {
    row_.labels.push_back(
        to_label(row.labels[k], row.counts[k] != 0, schema_.tasks()[k].transform));
  }
  row_.condition = row.condition;
  row_.features = row.features;
  append(open(row.stream), row_, seen, closed);
}

void Batcher::append(Open& open, const Row& row, EventTime seen, std::vector<Batch>& closed) {
  const std::int64_t cell = cell_of(row.due);
  if (open.batch.rows > 0 && open.cell != cell) close(open, closed);
  open.cell = cell;
  open.changed = true;

  Batch& batch = open.batch;
  append_features(schema_, row.features, batch);
  batch.labels.insert(batch.labels.end(), row.labels.begin(), row.labels.end());
  batch.condition.insert(batch.condition.end(), row.condition.begin(), row.condition.end());
  batch.weights.push_back(row.weight);
  batch.due = row.due;
  batch.seen = seen;
  write(row, open.rows);
  if (batch.rows >= batch_) close(open, closed);
}

void Batcher::close(Open& open, std::vector<Batch>& closed) {
  const Stream stream = open.batch.stream;
  closed.push_back(std::exchange(open.batch, empty_batch(schema_, stream)));
  open.rows.clear();
  open.changed = true;
}

void Batcher::close_if_passed(Open& open, EventTime time, std::vector<Batch>& closed) {
  if (open.batch.rows == 0 || !span_ || time == EventTime::before_all()) return;
  if (cell_of(time) > open.cell) close(open, closed);
}

void Batcher::close_passed(EventTime watermark, EventTime newest, std::vector<Batch>& closed) {
  reopen(closed);
  close_if_passed(open(Stream::kAtOnce), newest, closed);
  close_if_passed(open(Stream::kMatured), watermark, closed);
}

void Batcher::flush(Stream stream, std::vector<Batch>& closed) {
  reopen(closed);
  if (open(stream).batch.rows > 0) close(open(stream), closed);
}

void Batcher::write(const Row& row, std::string& rows) const {
  ByteWriter writer;
  writer.put(row.due.ms);
  writer.put(row.weight);
  for (const float label : row.labels) writer.put(label);
  for (const std::uint8_t holds : row.condition) writer.put(holds);
  writer.put_text(row.features);
  rows += writer.bytes();
}

Batcher::Row Batcher::read(ByteReader& reader) const {
  Row row;
  row.due.ms = reader.get<std::int64_t>();
  row.weight = reader.get<float>();
  for (std::size_t k = 0; k < schema_.tasks().size(); ++k) {
    row.labels.push_back(reader.get<float>());
  }
  for (std::size_t k = 0; k < schema_.tasks().size(); ++k) {
    row.condition.push_back(reader.get<std::uint8_t>());
  }
  row.features = reader.get_text();
  return row;
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
