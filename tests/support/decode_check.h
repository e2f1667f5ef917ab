#pragma once

#include <initializer_list>
#include <string_view>

#include "ingest/encode/json_check.h"
#include "ingest/event/decode.h"
#include "learner/base/check.h"
#include "tests/support/shop.h"

namespace millrace {

/// What must hold for every sequence of bytes that a decoder is given, as a line and from each
/// topic: an event, or a reason that agrees with what the bytes are. Ends the process where it does
/// not, so that a fuzzer notices. Threads: one at a time.
class DecodeCheck {
 public:
  static constexpr std::size_t kMaxRecord = 1 << 16;

  void operator()(std::string_view record) {
    const bool is_json = !json_fault(record);
    check(decoder_.decode_line(record, kMaxRecord), record, is_json);
    for (const std::string_view topic : {"impressions", "samples", "clicks", "dwell", "none"}) {
      check(decoder_.decode(topic, record, kMaxRecord), record, is_json);
    }
  }

 private:
  void check(const Result<Event, Rejection>& result, std::string_view record, bool is_json) {
    if (!result) {
      const Reason reason = result.error().reason;
      MILLRACE_CHECK(!result.error().message.empty());
      MILLRACE_CHECK((reason == Reason::kTooLarge) == (record.size() > kMaxRecord));
      if (reason != Reason::kTooLarge) MILLRACE_CHECK((reason == Reason::kNotJson) == !is_json);
      return;
    }
    MILLRACE_CHECK(is_json);
    const EventTime time = event_time(*result);
    MILLRACE_CHECK(kEarliestEventTime <= time && time <= kLatestEventTime);
    if (const auto* outcome = std::get_if<Outcome>(&*result)) {
      MILLRACE_CHECK(!outcome->impression_id.empty());
      return;
    }
    const auto* impression = std::get_if<Impression>(&*result);
    const auto* sample = std::get_if<Sample>(&*result);
    MILLRACE_CHECK(sample != nullptr || !impression->id.empty());
    const double rate = impression != nullptr ? impression->sampling_rate : sample->sampling_rate;
    MILLRACE_CHECK(0 < rate && rate <= 1);
    // The features are a whole row of this schema.
    Batch batch = empty_batch(schema_, Stream::kMatured);
    append_features(schema_, impression != nullptr ? impression->features : sample->features,
                    batch);
  }

  const Schema schema_ = shop_schema();
  const EventTypes types_ = shop_events();
  Decoder decoder_{schema_, types_};
};

}  // namespace millrace
