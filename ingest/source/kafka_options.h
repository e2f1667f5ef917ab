#pragma once

#include <array>
#include <map>
#include <string>

#include "learner/base/fields.h"
#include "learner/base/time.h"

namespace millrace {

enum class OnLost { kFail, kSkip };
template <>
struct Choices<OnLost> {
  static constexpr std::array<Choice<OnLost>, 2> all{
      {{"fail", OnLost::kFail}, {"skip", OnLost::kSkip}}};
};

/// The `kafka:` section of the configuration.
struct KafkaOptions {
  std::string brokers = "127.0.0.1:9092";
  std::string start = "earliest";
  ByteSize prefetch{256LL << 20};
  ByteSize max_record{1LL << 20};
  OnLost on_lost = OnLost::kFail;
  Duration check_every{20'000};
  std::map<std::string, std::string> properties;

  // No constexpr: a map is no literal type.
  static auto fields() {
    using K = KafkaOptions;
    return std::tuple{
        field("brokers", &K::brokers, "Addresses of the brokers to start from, host:port,…"),
        field("start", &K::start,
              "Where a new store starts to read: earliest, latest, or an RFC 3339 time."),
        field("prefetch", &K::prefetch, "Records read ahead, over all partitions.",
              ByteSize{1 << 20}),
        field("max_record", &K::max_record, "A longer record is a dead letter (too_large).",
              ByteSize{1 << 10}, ByteSize{64 << 20}),
        field("on_lost", &K::on_lost,
              "What to do where the broker no longer has what was to be read (retention), or what "
              "was read (the topic was made anew, or cut): fail, or skip what is lost."),
        field("check_every", &K::check_every,
              "How often the broker is asked for new partitions, and whether what was read last is "
              "still there.",
              Duration{100}, Duration{60'000}),
        field(
            "properties", &K::properties,
            "Any librdkafka property, passed through; those that Millrace sets itself are refused "
            "by name."),
    };
  }
};

}  // namespace millrace
