#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "ingest/sink/dead_letters.h"
#include "learner/base/result.h"
#include "learner/base/state.h"

namespace millrace {

/// What the sink counts; plain numbers, written by its thread, read by any.
struct DeadLetterProbe {
  std::atomic<std::uint64_t> delivered{0};
  std::atomic<std::uint64_t> failures{0};  ///< Deliveries that the broker refused; tried again.
  std::atomic<std::uint64_t> waiting{0};   ///< In the outbox.
};

struct KafkaDeadLettersConfig {
  DeadLetterOptions options;
  std::string brokers;
  /// `kafka.properties`, passed through where Millrace does not set them itself.
  std::map<std::string, std::string> properties;
  /// Called from librdkafka's threads too.
  std::function<void(std::string_view level, const std::string& message)> log;
};

/// Sends dead letters to a Kafka topic: original bytes, key and headers, and in headers
/// `__millrace.errors.{topic,partition,offset,stage,reason,message}` where they came from and what
/// was wrong. A missing topic is created.
///
/// At least once: a letter is sent at once, and waits in the outbox until the broker has it; as a
/// participant ("dead_letters") it saves the outbox with each commit, so that after a crash those
/// are sent again that the commit could not know of. The outbox is in no digest.
/// A record that the broker refuses as too large is sent cut to 64 KiB, with its size in
/// `__millrace.errors.size`.
/// Memory: `outbox` letters, and at most 64 MiB of them before taking pauses.
/// Threads: one at a time, but for `probe`.
class KafkaDeadLetters final : public DeadLetterSink, public Participant {
 public:
  /// Opens no connection before the first letter. Error: what librdkafka says against a property.
  static Result<std::unique_ptr<KafkaDeadLetters>> make(const KafkaDeadLettersConfig& config);
  /// Does not wait for what is under way: call `flush` first.
  ~KafkaDeadLetters() override;

  void add(DeadLetter letter) override;
  bool has_room() override;
  bool flush(Duration timeout) override;

  const DeadLetterProbe& probe() const;

  std::string participant_name() const override { return "dead_letters"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  /// Sends what the last commit held.
  void restored() override;

 private:
  struct Parts;
  explicit KafkaDeadLetters(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
