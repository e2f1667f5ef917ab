#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ingest/join/joiner.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// Cuts rows into batches by contract/join.md, Batches: a batch holds at most `batch` rows of one
/// cell of due time and one stream; it closes when it is full or when no further row of its cell
/// can come. Rows without any label are passed over.
///
/// Threads: one at a time. The open batches' rows are its state: the participant "batches".
class Batcher final : public Participant {
 public:
  /// Borrows `schema`. No `span`: batches close by size alone.
  Batcher(const Schema& schema, int batch, std::optional<Duration> span);

  /// Adds a row; appends the batches that close by it (a full one, or an older cell's).
  void add(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed);

  /// Appends the open batches that no further row can reach: rows at once by `newest` (F), rows at
  /// maturity by `watermark` (W); rows at once first.
  void close_passed(EventTime watermark, EventTime newest, std::vector<Batch>& closed);

  /// Appends the stream's open batch, if it holds rows.
  void flush(Stream stream, std::vector<Batch>& closed);

  std::string participant_name() const override { return "batches"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  void restored() override {}

 private:
  struct Open {
    Batch batch;
    std::int64_t cell = 0;
    /// The same rows as saved state.
    std::string rows;
  };
  void append(Open& open, const JoinedRow& row, EventTime seen);
  void close(Open& open, std::vector<Batch>& closed);
  std::int64_t cell_of(EventTime due) const;

  const Schema& schema_;
  const int batch_;
  const std::optional<Duration> span_;
  Open open_[kStreams];
};

}  // namespace millrace
