#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "learner/base/time.h"

namespace millrace {

/// Sends events to Kafka, keyed so that one impression's events are in partitions of the same
/// number. Memory: at most the client's queue (100,000 records); `send` waits when it is full.
/// Threads: one at a time.
class EventProducer {
 public:
  /// `properties` are librdkafka's; throws std::runtime_error where it refuses one.
  EventProducer(const std::string& brokers, const std::map<std::string, std::string>& properties);
  /// Gives what is still queued five seconds.
  ~EventProducer();

  void send(const std::string& topic, std::string_view key, std::string_view record);
  /// Waits until everything sent was acknowledged. False if that takes longer than `timeout`.
  bool flush(Duration timeout);

  /// Records that the broker refused for good.
  std::uint64_t failed() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
