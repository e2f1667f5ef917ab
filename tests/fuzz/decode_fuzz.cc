// The decoder: any bytes are an event, or have a reason that agrees with what they are.
#include <string_view>

#include "ingest/encode/json_check.h"
#include "ingest/event/decode.h"
#include "learner/base/check.h"
#include "tests/fuzz/target.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

// As a line, and from each topic.
class DecodeCheck {
 public:
  static constexpr std::size_t kMaxRecord = 1 << 16;

  // Whether it is an event as a line.
  bool operator()(std::string_view record) {
    const bool is_json = !json_fault(record);
    const auto line = decoder_.decode_line(record, kMaxRecord);
    check(line, record, is_json);
    for (const std::string_view topic : {"impressions", "samples", "clicks", "dwell", "none"}) {
      check(decoder_.decode(topic, record, kMaxRecord), record, is_json);
    }
    return bool{line};
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

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static millrace::DecodeCheck check;
  millrace::fuzz_counts.add(check(millrace::fuzz_text(data, size)));
  return 0;
}
