#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ingest/encode/sampling.h"
#include "ingest/encode/user_cap.h"
#include "ingest/event/decode.h"
#include "ingest/join/accounts.h"
#include "ingest/join/label_delays.h"
#include "ingest/source/kafka_losses.h"
#include "ingest/source/source.h"

namespace millrace {

/// What was counted of the events that one commit holds.
struct CommittedCounts {
  Accounts accounts;
  Sampling::Counts dropped{};  ///< Joined rows that were neither trained nor measured, by reason.
  UserCap::Counts capped;      ///< Rows that weigh nothing for their user's sake.
  LabelDelays delays;          ///< How long outcomes take against their windows.
};

/// One partition as operators see it.
struct PartitionStatus {
  Input input;
  std::int64_t position = 0, lag = 0;
};

/// What an engine tells of itself, as of one moment.
struct EngineStatus {
  CommittedCounts committed;  ///< By the last commit.
  std::vector<PartitionStatus> partitions;
  KafkaLosses::Counts losses{};  ///< What `kafka.on_lost: skip` skipped since the store began.
  std::uint64_t left_out = 0;    ///< Partitions left out as behind and silent, since the start.
  std::uint64_t dead_letters_waiting = 0;
  DecodeCounts decoded;  ///< Features missing, features and labels unknown, since the start.
  std::string paused;    ///< Why nothing is taken just now; empty where all is well.
  /// Why the store's weights were not served at the start; empty where they were.
  std::string held_at_start;
};

/// Where an engine's threads note its status and others read it. Threads: any.
class StatusBoard {
 public:
  EngineStatus read() const {
    const std::lock_guard lock(mutex_);
    return status_;
  }
  /// Calls change(status).
  template <class Change>
  void change(Change&& change) {
    const std::lock_guard lock(mutex_);
    change(status_);
  }
  /// A barrier goes by with these; they are told once its commit is durable (`committed`).
  void at_barrier(CommittedCounts counts) {
    const std::lock_guard lock(mutex_);
    at_barrier_ = std::move(counts);
  }
  void committed() {
    const std::lock_guard lock(mutex_);
    status_.committed = at_barrier_;
  }

 private:
  mutable std::mutex mutex_;
  EngineStatus status_;
  CommittedCounts at_barrier_;
};

}  // namespace millrace
