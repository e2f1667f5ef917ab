#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/event/rejection.h"
#include "ingest/join/accounts.h"
#include "tests/support/join_histories.h"

namespace millrace {

/// One record of an input, and what a reader must make of it.
struct HistoryRecord {
  std::string json;
  std::optional<Event> event;        ///< None: a dead letter,
  Reason reason = Reason::kNotJson;  ///< for this reason.
};

/// A file, or a partition of a topic.
struct HistoryInput {
  std::string topic;  ///< "file" for files.
  int partition = 0;
  std::vector<HistoryRecord> records;
};

/// What one replay finds: of each input all records up to here, and whether it flushes.
struct HistoryPiece {
  std::vector<std::size_t> ends;
  bool flush = false;
};

/// A configuration and the records that meet it: all of it a function of the seed.
struct ReplayHistory {
  JoinCase join_case;
  std::string config;  ///< YAML, without what a run sets: store, brokers.
  std::vector<HistoryInput> inputs;
  std::vector<HistoryPiece> pieces;  ///< The last one's ends are those of the inputs.
  bool spills = false;               ///< So little memory that most of what waits is in the store.
};

/// For files, or for Kafka topics whose names begin with `prefix`.
ReplayHistory history_of_files(std::uint64_t seed);
ReplayHistory history_of_topics(std::uint64_t seed, const std::string& prefix);

/// What the brute-force join makes of a history: all rows in their order, as text, and how things
/// stand after each record that was taken.
struct ExpectedReplay {
  struct Moment {
    Accounts accounts;
    std::size_t rows = 0;  ///< Rows emitted until then.
  };
  std::vector<std::string> rows;
  std::vector<Moment> moments;          ///< The first: nothing was taken.
  std::vector<std::size_t> piece_ends;  ///< The moment at which each piece has ended.
};
ExpectedReplay expect(const ReplayHistory& history);

/// A row as ExpectedReplay has it, from a line of `--rows`. Throws where it cannot be read.
std::string row_text(const std::string& line);

}  // namespace millrace
