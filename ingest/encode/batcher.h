#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/encode/transcode.h"
#include "ingest/join/joined_row.h"
#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// Cuts rows into batches by contract/join.md, Batches: a batch holds at most `batch` rows of one
/// cell of due time and one stream; it closes when it is full or when no further row of its cell
/// can come. Rows without any label that counts, and without a target of an auxiliary head, are
/// passed over; a label that does not count is missing in the batch. Labels of regressions are
/// transformed here. Labels that are only measured ride beside the rows of their cell and do not
/// fill the batch; it may close with them alone, and beyond kMostMeasured they go ahead without it.
///
/// Use for each event: `add` its rows at once, `close_passed` with F alone, `add` the rows that W
/// decided, `close_passed` with both. So when one event closes batches of both streams, those at
/// once are trained first.
///
/// Memory: the open batches, twice (once as state). Threads: one at a time.
/// The open batches' rows are its state, the participant "batches": the values "matured" and
/// "at_once" (store/FORMAT.md), and "seen", which is no part of the digest. After a restart with
/// another `batch` or `span` the rows are cut anew.
class Batcher final : public Participant {
 public:
  static constexpr int kMostMeasured = 4096;

  /// Borrows `schema`. No `span`: batches close by size alone. Requires: batch > 0, span > 0.
  Batcher(const Schema& schema, int batch, std::optional<Duration> span);

  /// Adds a row; appends the batches that close by it (a full one, or an older cell's). `seen`
  /// becomes the batch's. Requires: rows of a stream come in the order of their due times.
  void add(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed);

  /// Appends the open batches that no further row can reach: rows at once by `newest` (F), rows at
  /// maturity by `watermark` (W); rows at once first. Requires: all rows that W decided were added
  /// (else give before_all() for W).
  void close_passed(EventTime watermark, EventTime newest, std::vector<Batch>& closed);

  /// Appends the stream's open batch, if it holds rows.
  void flush(Stream stream, std::vector<Batch>& closed);

  std::string participant_name() const override { return "batches"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override {}

  /// For a migration: rows that `from` saved (a value "matured" or "at_once"), as this batcher
  /// saves them. tasks[k] is the task of `from` whose label task k continues, or −1; rows that are
  /// left without any label go. Error: throws StateError.
  std::string carried_over(std::string_view rows, const Batcher& from,
                           const std::vector<int>& tasks, const FeatureTranscoder& transcode) const;

 private:
  /// What a batch takes of a row; or labels to measure, which have no features.
  struct Row {
    EventTime due;
    bool is_measured = false;
    bool is_last = false;
    std::uint64_t key = 0;
    float weight = 1, measure_weight = 1;
    std::uint64_t user = 0;
    std::vector<float> labels;
    std::vector<std::uint8_t> condition;
    std::vector<std::uint8_t> certain;  // or empty
    std::vector<Origin> origin;         // with policies of delayed feedback
    std::vector<std::uint8_t> targets;  // with them
    std::vector<float> since, until;    // with dfm
    std::string_view features;
  };
  struct Open {
    Batch batch;
    std::int64_t cell = 0;
    std::string rows;           // the same rows as saved state
    bool changed = true;        // since the last save
    std::string restored;       // rows of an earlier process, not cut yet
    EventTime restored_seen{};  // of the last of them
  };

  void measure(const JoinedRow& row, EventTime seen, std::vector<Batch>& closed);
  void append_measured(Open& open, const Row& row, std::vector<Batch>& closed);
  void drop_measured(Open& open);
  static void add_measure_weight(const Row& row, Batch& batch);
  static void add_certain(const Row& row, Batch& batch);
  void append(Open& open, const Row& row, EventTime seen, std::vector<Batch>& closed);
  void close(Open& open, std::vector<Batch>& closed);
  void close_if_passed(Open& open, EventTime time, std::vector<Batch>& closed);
  void reopen(std::vector<Batch>& closed);
  void write(const Row& row, std::string& rows) const;
  Row read(ByteReader& reader) const;
  std::int64_t cell_of(EventTime due) const;
  Open& open(Stream stream) { return open_[static_cast<std::size_t>(stream)]; }

  const Schema& schema_;
  const int batch_;
  const std::optional<Duration> span_;
  std::array<Open, kStreams> open_;
  bool reopened_ = true;
  Row row_;  // scratch
};

}  // namespace millrace
