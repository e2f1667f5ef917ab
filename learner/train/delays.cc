#include "learner/train/delays.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr double kMemory = 10'000, kLeastMs = 1;

}  // namespace

bool tells_delay(const Batch& batch, std::size_t cell) {
  return !batch.until.empty() && !batch.origin.empty() && batch.origin[cell] != Origin::kFinal &&
         !std::isnan(batch.until[cell]) && !std::isnan(batch.labels[cell]);
}

math::DelayLoss<double> delay_loss(const Batch& batch, std::size_t cell, double odds, double w,
                                   double unit_ms) {
  const double since = batch.since[cell] / unit_ms, until = batch.until[cell] / unit_ms;
  return batch.labels[cell] > 0.5F ? math::came(odds, w, since, until)
                                   : math::not_come(odds, w, since, until);
}

DelayScale::DelayScale(double first_ms) : ms_(first_ms) { MILLRACE_CHECK(first_ms > 0); }

void DelayScale::add(std::vector<double> delays) {
  if (delays.empty()) return;
  for (double& delay : delays) delay = std::max(delay, kLeastMs);
  const auto count = static_cast<double>(delays.size());
  if (seen_ == 0) {
    const auto middle = delays.begin() + static_cast<std::ptrdiff_t>(delays.size() / 2);
    std::nth_element(delays.begin(), middle, delays.end());
    ms_ = *middle;
  } else {
    double above = 0;  // more delays above m than below it
    for (const double delay : delays) above += delay > ms_ ? 1 : delay < ms_ ? -1 : 0;
    ms_ *= std::exp(above / (seen_ + count));
  }
  seen_ = std::min(seen_ + count, kMemory);
}

void DelayScale::save(ByteWriter& writer) const {
  writer.put(ms_);
  writer.put(seen_);
}

void DelayScale::restore(ByteReader& reader) {
  ms_ = reader.get<double>();
  seen_ = reader.get<double>();
  if (!(ms_ > 0) || !std::isfinite(ms_) || !(seen_ >= 0) || !std::isfinite(seen_)) {
    throw StateError("the saved unit of delays is no time");
  }
}

}  // namespace millrace
