#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/source/kafka_losses.h"
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
  /// Under which the positions are shown to lag dashboards; `group.id` of the properties overrules
  /// it.
  std::string group = "millrace";
  /// `replay`: read up to the ends of the moment of the start, take a missing topic as empty, and
  /// throw SourceError when the broker is gone for 60 s.
  bool to_present_ends = false;
  /// Called from librdkafka's threads too.
  SourceLog log = nullptr;
  /// How long `start` waits for the broker before it goes on without, or gives up
  /// (`to_present_ends`), and how long a replay waits for a record.
  Duration start_patience{30'000};
  Duration replay_patience{60'000};
  /// Asked while `start` waits: true ends the waiting, as when the broker does not answer.
  std::function<bool()> stopping = nullptr;
};

/// All partitions of the topics of one cluster, assigned by us from our own positions (no group, no
/// rebalance); one librdkafka queue a partition, emptied in batches. Only committed records are
/// read.
///
/// An input stands at its end where its position is the broker's high watermark, or where the
/// broker said that nothing else is left before its end (control records have offsets too).
/// A partition whose broker is away is kBehind and a line in the log; librdkafka connects again by
/// itself.
///
/// While it reads, too, it asks now and then (`kafka.check_every`) whether what it has read is
/// still there, so that a topic that was deleted and made anew under it is noticed: at once where
/// its name was seen missing or the position is past its end, else at the next such check; what was
/// read in between is the new topic's (librdkafka 2.0.2 goes on in it without a word). A topic that
/// is gone is waited for, with a warning, like one that is missing.
///
/// As a participant ("source") it saves of each partition the next offset and by what its last
/// record is known again, and what was skipped; they are in no digest.
/// Partitions that the store knows are remembered as long as it lives, also where they are not
/// configured now.
/// Memory: about `prefetch`: half of it is for records in the queues, the rest for what librdkafka
/// needs beside each record and for the batches taken out. A single batch of the broker that is
/// larger than a partition's share is read nevertheless.
/// Threads: one at a time.
class KafkaSource final : public Source, public Participant {
 public:
  /// Checks the properties by librdkafka itself; opens no connection yet.
  static Result<std::unique_ptr<KafkaSource>> make(const KafkaSourceConfig& config);
  ~KafkaSource() override;

  /// Connects, finds the partitions, places the positions (restored ones, else `kafka.start`; of
  /// partitions that come later their start) and begins to fetch. Waits for the broker, but a
  /// daemon goes on without it after `start_patience`: the rest is done within `wait` and `peek`.
  /// The last record that was read of each partition is read again first: what is lost, and where
  /// it goes on with the policy `skip`, is in kafka_resume.h.
  /// Throws LostError where something is lost and the policy is `fail`; SourceError where a topic
  /// may not be read, and with `to_present_ends` where the broker does not answer.
  void start();

  const std::vector<Input>& inputs() const override;
  /// The record's views are good until `take` of this input. Throws as `start` does.
  Head peek(std::size_t input, Record& record) override;
  void take(std::size_t input) override;
  /// −1 where the broker has not yet said where a new partition begins.
  std::int64_t position(std::size_t input) const override;
  std::vector<Header> headers(std::size_t input) override;
  /// Throws SourceError as `start` does, and with `to_present_ends` when nothing came for
  /// `replay_patience` of waiting.
  void wait(Duration timeout) override;
  /// Waits at most a second for the answer.
  bool confirm_ends() override;

  /// Writes the positions to the group's committed offsets, for lag dashboards only; asynchronous,
  /// a failure is counted and nothing else. Does nothing while the last one is under way.
  void publish_positions();

  /// Commits that the broker refused.
  std::uint64_t failed_publications() const;

  /// How far the input's position is behind the broker's end, as last heard, in offsets.
  std::int64_t lag(std::size_t input) const;

  /// What was skipped since the store began (`kafka.on_lost: skip`).
  const KafkaLosses& losses() const;

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
