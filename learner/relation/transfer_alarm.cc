#include "learner/relation/transfer_alarm.h"

#include <cmath>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kLeastBlocks = 20;

}  // namespace

void TransferAlarm::add(const Losses& model, const Losses& twin, EventTime due) {
  if (model.rows != twin.rows || model.rows == 0) return;
  if (!std::isfinite(model.loss) || !std::isfinite(twin.loss)) return;
  rows_ += model.rows;
  weight_ += model.weight;
  excess_ += model.loss - twin.loss;
  if (rows_ >= static_cast<std::uint64_t>(options_.block)) close_block(due);
}

void TransferAlarm::close_block(EventTime due) {
  const double difference = weight_ > 0 ? excess_ / weight_ : 0;
  rows_ = 0;
  weight_ = excess_ = 0;
  const auto most = static_cast<std::size_t>(options_.blocks);
  if (differences_.size() < most) {
    differences_.push_back(difference);
  } else {
    differences_[closed_ % most] = difference;
  }
  ++closed_;
  const TransferReport now = report();
  if (differences_.size() < kLeastBlocks) return;
  const bool was = std::exchange(alarm_, now.difference > (alarm_ ? now.margin / 2 : now.margin));
  if (was == alarm_) return;
  changed_ = true;
  since_ = alarm_ ? due : EventTime::before_all();
  alarms_ += alarm_ ? 1 : 0;
}

void TransferAlarm::restart() {
  rows_ = 0;
  weight_ = excess_ = 0;
  differences_.clear();
  closed_ = 0;
  changed_ |= std::exchange(alarm_, false);
  since_ = EventTime::before_all();
}

TransferReport TransferAlarm::report() const {
  TransferReport report;
  report.blocks = static_cast<int>(differences_.size());
  report.alarm = alarm_;
  report.since = since_;
  report.alarms = alarms_;
  if (differences_.size() < 2) return report;
  const auto n = static_cast<double>(differences_.size());
  double sum = 0, squares = 0;
  for (const double difference : differences_) sum += difference;
  report.difference = sum / n;
  for (const double difference : differences_) {
    squares += (difference - report.difference) * (difference - report.difference);
  }
  report.margin = options_.deviations * std::sqrt(squares / (n - 1) / n);
  return report;
}

void TransferAlarm::save(ByteWriter& writer) const {
  writer.put(rows_);
  writer.put(weight_);
  writer.put(excess_);
  writer.put_all(differences_);
  writer.put(closed_);
  writer.put(alarm_);
  writer.put(since_.ms);
  writer.put(alarms_);
}

void TransferAlarm::restore(ByteReader& reader) {
  rows_ = reader.get<std::uint64_t>();
  weight_ = reader.get<double>();
  excess_ = reader.get<double>();
  differences_ = reader.get_all<double>();
  closed_ = reader.get<std::uint64_t>();
  alarm_ = reader.get<bool>();
  since_.ms = reader.get<std::int64_t>();
  alarms_ = reader.get<std::uint64_t>();
  // The option may have changed: the blocks begin anew where they are kept otherwise.
  if (differences_.size() > static_cast<std::size_t>(options_.blocks) ||
      (differences_.size() < static_cast<std::size_t>(options_.blocks) &&
       closed_ > differences_.size())) {
    differences_.clear();
    closed_ = 0;
  }
}

}  // namespace millrace
