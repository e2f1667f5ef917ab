#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ingest/source/kafka_source.h"
#include "tests/support/servers.h"

namespace millrace {

/// A record as the source gave it.
struct Got {
  std::string topic;
  int partition;
  std::int64_t offset;
  std::string value;
  bool operator==(const Got&) const = default;
};

/// A source with what its participant would have in a store.
struct Reader {
  KafkaSourceConfig config;
  std::unique_ptr<KafkaSource> source;
  std::mutex mutex;
  std::string logged;

  Reader(
      const std::string& address, std::vector<std::string> topics,
      const std::function<void(KafkaSourceConfig&)>& change = [](auto&) {}) {
    config.options.brokers = address;
    config.topics = std::move(topics);
    config.options.check_every = Duration{300};
    config.start_patience = Duration{120'000};  // a broker on a busy machine takes its time
    config.log = [this](std::string_view level, const std::string& message) {
      std::lock_guard lock(mutex);
      logged += std::string(level) + " " + message + "\n";
    };
    change(config);
    auto made = KafkaSource::make(config);
    if (!made) throw std::runtime_error(made.error().message);
    source = std::move(made).value();
  }

  void start() { source->start(); }
  /// The state of the last commit, into a new reader.
  void restore(const StateChanges& saved) {
    for (const auto& value : saved.values) {
      EXPECT_FALSE(value.in_digest);
      source->restore_value(value.name, value.bytes);
    }
    source->restored();
  }
  StateChanges save() { return source->save(1, {}); }

  /// Takes what there is until all inputs stand at their ends and `enough` agrees.
  std::vector<Got> read(
      const std::function<bool(const std::vector<Got>&)>& enough = [](const auto&) { return true; },
      double seconds = 60) {
    std::vector<Got> got;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < deadline) {
      bool at_end = true;
      for (std::size_t input = 0; input < source->inputs().size(); ++input) {
        Record record;
        Head head;
        while ((head = source->peek(input, record)) == Head::kRecord) {
          const Input& of = source->inputs()[input];
          got.push_back({of.topic, of.partition, record.offset, std::string(record.payload)});
          source->take(input);
          EXPECT_GT(source->position(input), record.offset);
        }
        at_end = at_end && head == Head::kAtEnd;
      }
      if (at_end && enough(got)) return got;
      source->wait(Duration{20});
    }
    ADD_FAILURE() << "not enough after " << seconds << " s: " << got.size() << " records\n"
                  << log();
    return got;
  }
  std::vector<Got> read(std::size_t count) {
    return read([count](const auto& got) { return got.size() >= count; });
  }
  std::string log() {
    std::lock_guard lock(mutex);
    return logged;
  }
};

inline std::multiset<std::string> values_of(const std::vector<Got>& got) {
  std::multiset<std::string> values;
  for (const Got& record : got) values.insert(record.value);
  return values;
}

/// Values "<prefix>0"… over the partitions in turn; returns them.
inline std::multiset<std::string> fill(TestProducer& producer, const std::string& topic, int count,
                                       const std::string& prefix = "v", int partitions = 3) {
  std::multiset<std::string> values;
  for (int i = 0; i < count; ++i) {
    const std::string value = prefix + std::to_string(i);
    producer.send({.topic = topic, .partition = i % partitions, .value = value});
    values.insert(value);
  }
  producer.flush();
  return values;
}

inline bool wait_until(const std::function<bool()>& condition, double seconds = 60) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace millrace
