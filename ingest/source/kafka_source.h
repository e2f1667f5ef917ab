#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/source/kafka_options.h"
#include "ingest/source/source.h"
#include "learner/base/result.h"
#include "learner/base/state.h"

namespace millrace {

/// Something worth a log line: a warning of librdkafka, a topic that is waited for, a skipped
/// range.
using SourceLog = std::function<void(std::string_view level, const std::string& message)>;

struct KafkaSourceConfig {
  KafkaOptions options;
  std::vector<std::string> topics;  ///< Without repetition.
  /// `replay`: read up to the ends of the moment of the start, take a missing topic as empty, and
  /// throw SourceError when the broker is gone for 60 s.
  bool to_present_ends = false;
  SourceLog log;
};

/// All partitions of the topics of one cluster, assigned by us from our own positions (no group, no
/// rebalance); one librdkafka queue a partition, emptied in batches within `prefetch`.
/// As a participant ("source") it saves the next offset of each partition; they are in no digest.
/// Threads: one at a time.
class KafkaSource final : public Source, public Participant {
 public:
  /// Checks the properties by librdkafka itself; opens no connection yet.
  static Result<std::unique_ptr<KafkaSource>> make(const KafkaSourceConfig& config);
  ~KafkaSource() override;

  /// Connects, finds the partitions, places the positions (restored ones, else `kafka.start`) and
  /// begins to fetch. Throws SourceError where positions are lost and the policy is `fail`.
  void start();

  const std::vector<Input>& inputs() const override;
  Head peek(std::size_t input, Record& record) override;
  void take(std::size_t input) override;
  std::int64_t position(std::size_t input) const override;
  std::vector<Header> headers(std::size_t input) override;
  void wait(Duration timeout) override;
  bool confirm_ends() override;

  /// Writes the positions to the group's committed offsets, for lag dashboards only; asynchronous,
  /// a failure is counted and nothing else.
  void publish_positions();

  /// How far each input's position is behind the broker's end, as last heard.
  std::int64_t lag(std::size_t input) const;

  std::string participant_name() const override { return "source"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  void restored() override {}

 private:
  struct Parts;
  explicit KafkaSource(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
