#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingest/encode/sampling.h"
#include "ingest/encode/user_cap.h"
#include "ingest/join/accounts.h"
#include "ingest/join/label_delays.h"
#include "ingest/source/file_source.h"
#include "ingest/source/kafka_losses.h"
#include "ingest/source/kafka_positions.h"
#include "learner/train/guardrail.h"
#include "store/store.h"

namespace millrace {

/// What the last commit of a store says of itself, for people and scripts.
struct Inspection {
  struct Table {
    std::string model, name;
    std::uint64_t rows = 0, bytes = 0;
  };
  std::uint64_t commit = 0;
  /// Of the weights that this commit holds, as answers carry it: "<commit>.0".
  std::string version;
  KafkaPositions offsets;
  KafkaLosses losses;
  std::vector<FilePosition> files;
  Accounts accounts;
  Sampling::Counts dropped_rows{};
  std::vector<LabelDelays::Of> label_delays;
  UserCap::Counts capped;
  std::vector<Table> tables;  ///< The embedding tables of every model.
  /// By model: the state of its guardrails.
  std::vector<std::pair<std::string, SavedGuardrails>> guardrails;
  std::vector<std::string> models;      ///< Their names.
  std::optional<std::string> champion;  ///< Whose scores are served; nothing before any commit.
  std::vector<SnapshotInfo> snapshots;
  std::uint64_t digest = 0;
  std::vector<StoreEvent> history;          ///< Losses and rollbacks.
  std::optional<Store::Lost> lost_commits;  ///< Not yet noticed by a start.
  bool acknowledged_damaged = false;        ///< Nobody knows whether commits are lost.
};

/// Reads all of the state. Error: throws StoreError, StateError.
Inspection inspect(const Store& store);

/// One JSON object: `commit`, `version`, `offsets` (a list: topic, partition, offset; of files:
/// path, position in bytes, lines), `lost` (what `kafka.on_lost: skip` skipped last: topic,
/// partition, from, to, reason; `to` is null where nobody knows it), the accounts as in `replay`'s
/// report, `dropped_rows` and `capped` as there, `models` (names), `champion`, `tables`,
/// `snapshots`, `digest`, `history` (a list: `event` "lost" or "rollback", `from`, `to`, `commit`;
/// of a rollback also `snapshot`, `offsets`, `time`), `lost_commits` (null, or `acknowledged` and
/// `recovered`; `acknowledged` is null where the store's note of it cannot be read).
std::string to_json(const Inspection& inspection);

/// The same in lines for a reader.
std::string to_text(const Inspection& inspection);

}  // namespace millrace
