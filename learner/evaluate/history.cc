#include "learner/evaluate/history.h"

#include <algorithm>

#include "learner/base/check.h"
#include "learner/evaluate/window.h"

namespace millrace {

void History::Point::add(const Point& other) {
  first = std::min(first, other.first);
  last = std::max(last, other.last);
  sums.add(other.sums);
  auc_rows += other.auc_rows;
  auc_sum += other.auc_sum;
}

void History::Point::save(ByteWriter& writer) const {
  writer.put(first.ms);
  writer.put(last.ms);
  sums.save(writer);
  writer.put(auc_rows);
  writer.put(auc_sum);
}

History::Point History::Point::restored(ByteReader& reader) {
  Point point;
  point.first.ms = reader.get<std::int64_t>();
  point.last.ms = reader.get<std::int64_t>();
  point.sums = Sums::restored(reader);
  point.auc_rows = reader.get<double>();
  point.auc_sum = reader.get<double>();
  return point;
}

History::History(bool binary, const HistoryOptions& options)
    : binary_(binary), options_(options), open_(binary) {
  MILLRACE_CHECK(options.points > 0 && options.rows > 0);
}

void History::add(const Measurement& measurement, EventTime due) {
  open_.add(measurement);
  first_ = std::min(first_, due);
  last_ = std::max(last_, due);
  if (open_.rows() >= static_cast<std::uint64_t>(options_.rows)) close_window();
}

void History::close_window() {
  Point window;
  window.first = first_;
  window.last = last_;
  window.sums = open_.sums();
  if (const auto auc = open_.figures().auc) {
    window.auc_rows = static_cast<double>(open_.rows());
    window.auc_sum = window.auc_rows * *auc;
  }
  open_.clear();
  first_ = EventTime::after_all();
  last_ = EventTime::before_all();
  told_.reset();
  point_.add(window);
  if (++windows_ < per_point_) return;
  points_.push_back(point_);
  point_ = {};
  windows_ = 0;
  if (points_.size() < 2 * static_cast<std::size_t>(options_.points)) return;
  for (std::size_t i = 0; i < points_.size() / 2; ++i) {
    Point merged = points_[2 * i];
    merged.add(points_[2 * i + 1]);
    points_[i] = merged;
  }
  points_.resize(points_.size() / 2);
  per_point_ *= 2;
  saved_ = 0;
}

HistoryPoint History::figures(const Point& point) const {
  HistoryPoint told;
  told.first = point.first;
  told.last = point.last;
  point.sums.fill(told.figures, binary_);
  if (point.auc_rows > 0) told.figures.auc = point.auc_sum / point.auc_rows;
  return told;
}

std::shared_ptr<const std::vector<HistoryPoint>> History::points() const {
  if (!told_) {
    auto told = std::make_shared<std::vector<HistoryPoint>>();
    for (const Point& point : points_) told->push_back(figures(point));
    if (windows_ > 0) told->push_back(figures(point_));
    told_ = std::move(told);
  }
  return told_;
}

void History::begin(ByteWriter& writer) const {
  writer.put(options_.rows);
  writer.put(options_.points);
}

bool History::is_own(ByteReader& reader) const {
  const auto rows = reader.get<int>(), points = reader.get<int>();
  return rows == options_.rows && points == options_.points;
}

void History::save(const std::string& name, StateChanges& changes) {
  ByteWriter writer;
  begin(writer);
  open_.sparse().save(writer);
  writer.put(first_.ms);
  writer.put(last_.ms);
  point_.save(writer);
  writer.put(windows_);
  writer.put(per_point_);
  writer.put(static_cast<std::uint64_t>(points_.size()));
  changes.values.push_back({name, writer.take()});
  for (std::size_t chunk = saved_ / kChunk; chunk * kChunk < points_.size(); ++chunk) {
    begin(writer);
    const std::size_t end = std::min(points_.size(), (chunk + 1) * kChunk);
    writer.put(static_cast<std::uint32_t>(end - chunk * kChunk));
    for (std::size_t i = chunk * kChunk; i < end; ++i) points_[i].save(writer);
    changes.values.push_back({name + "/" + std::to_string(chunk), writer.take(), false});
  }
  saved_ = points_.size();
}

void History::restore(std::string_view part, std::string_view bytes) {
  ByteReader reader(bytes);
  if (!is_own(reader)) return;
  const std::size_t most = 2 * static_cast<std::size_t>(options_.points);
  told_.reset();
  if (part.empty()) {
    open_.clear();
    open_.add(SparseTally::restored(reader));
    first_.ms = reader.get<std::int64_t>();
    last_.ms = reader.get<std::int64_t>();
    point_ = Point::restored(reader);
    windows_ = reader.get<std::uint64_t>();
    per_point_ = reader.get<std::uint64_t>();
    const auto count = reader.get<std::uint64_t>();
    if (count >= most) throw StateError("a saved history is too long");
    restored_ = saved_ = count;
  } else {
    const std::size_t chunk = saved_piece(part, most / kChunk + 1);
    const auto count = reader.get<std::uint32_t>();
    if (count > kChunk) throw StateError("a saved history has too many points");
    points_.resize(std::max(points_.size(), chunk * kChunk + count));
    for (std::size_t i = 0; i < count; ++i) points_[chunk * kChunk + i] = Point::restored(reader);
  }
  // Chunks beyond the end are from before a merge.
  if (restored_) points_.resize(*restored_);
  if (!reader.at_end()) throw StateError("a saved history has a wrong size");
}

}  // namespace millrace
