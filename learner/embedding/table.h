#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/data/batch.h"
#include "learner/embedding/bloom_counter.h"
#include "learner/embedding/keyed_rows.h"
#include "learner/embedding/options.h"

namespace millrace {

/// One embedding table that grows with its keys: a row of weights and optimiser values for each key
/// that was admitted, exact 64-bit keys, no collisions.
///
/// A batch goes: `begin`, `look_up` once for each of its columns, reading `rows`, and at the end
/// either `keep` (after the rows were updated) or `undo`, which leaves the table as it was before
/// `begin`. A key's row is looked for once a batch; its further occurrences cost no search.
///
/// A key is admitted when it was seen `admit_after` times; before that, beyond `max_rows`, and
/// where it is missing it has the neutral row (kNeutral), which is zeros and learns nothing. Keys
/// on their way to admission are counted exactly, in at most `max_rows` candidates, or in a Bloom
/// filter of a fixed size (BloomCounter; its counts fade with each `expire_after` of event time).
/// Rows and candidates that were not seen for `expire_after` are dropped by `expire`. A full table
/// refuses new keys; where it evicts, `make_room` before the next batch drops the sixteenth of
/// `max_rows` (one at least) that was not seen for the longest, so a table refuses the keys of at
/// most one batch. Which rows those are depends on what was seen when and on the keys alone. Keys
/// that went this way come back as new.
///
/// New rows start at N(0, 0.05²), a function of (seed, table, key); optimiser values start at 0.
/// Memory: (16 + 4 · (dimension + state) + 10 to 13.5) bytes a row, 34 a candidate.
/// Threads: one at a time; between `look_up` and `keep`, rows may be read by any.
class EmbeddingTable {
 public:
  struct Shape {
    std::string name;
    int dimension = 0;
    /// Optimiser values beside a row's weights (Adagrad: as many as weights).
    int state = 0;
    std::uint64_t seed = 0;  ///< Of the initial values; different for each table.
    bool zero = false;       ///< New rows are zeros instead.
  };
  struct Counters {
    std::uint64_t admitted = 0;
    std::uint64_t expired = 0;
    std::uint64_t refused = 0;  ///< Occurrences of keys that had no room.
    std::uint64_t evicted = 0;  ///< Rows dropped for lack of room.
  };
  /// A row that the batch uses: [dimension] weights, then [state] optimiser values.
  struct Used {
    KeyedRows::Row row;
    std::uint32_t seen_before;
    float* values;
  };
  static constexpr std::uint32_t kNeutral = 0xffffffffU;

  EmbeddingTable(Shape shape, const EmbeddingOptions& options);

  const Shape& shape() const { return shape_; }
  std::uint64_t rows() const { return rows_.size(); }
  std::uint64_t candidates() const { return candidates_.size(); }
  std::uint64_t bytes() const {
    return rows_.bytes() + candidates_.bytes() + (bloom_ ? bloom_->bytes() : 0);
  }
  const Counters& counters() const { return counters_; }
  void restore_counters(const Counters& counters) { counters_ = counters; }

  /// The weights of `key`'s row, or null. For inspection and tests; a batch uses `look_up`.
  const float* find(std::uint64_t key) const;

  /// Drops what was last seen `expire_after` before `now` or earlier. `jumped`: everything was, and
  /// by more than can be told from the seconds that the rows hold.
  /// Requires: no batch is in progress.
  void expire(EventTime now, bool jumped);

  /// Where the table evicts and is full of rows, or of candidates, drops the oldest of them.
  /// Requires: no batch is in progress; `now` is not before that of the last batch.
  void make_room(EventTime now);

  void begin(EventTime now);
  /// slots[i] is the index in `used` of keys[i]'s row, or kNeutral.
  void look_up(std::span<const std::uint64_t> keys, std::span<std::uint32_t> slots);
  /// As `look_up` for keys that are only read: one without a row has the neutral one and is not
  /// counted, and rows that only this found are not changed by the batch. Requires: after every
  /// `look_up` of the batch.
  void read(std::span<const std::uint64_t> keys, std::span<std::uint32_t> slots);
  std::span<const Used> used() const { return used_; }
  /// Those of them that `look_up` found, which come first: the batch changes these alone.
  std::span<const Used> learned() const { return used().first(looked_up_); }
  /// The weights of the used rows as they were found, side by side: [used, dimension].
  std::span<const float> weights() const { return weights_; }
  /// Every row of the batch counts as changed, and as seen at `now`.
  void keep();
  void undo();

  /// Whether every weight that `publish` would give is finite and at most `largest` in size.
  bool is_bounded(bool everything, float largest) const;
  /// What changed or went since the last call (`everything`: all rows), weights only.
  void publish(bool everything, std::vector<std::uint64_t>& keys, std::vector<float>& weights,
               std::vector<std::uint64_t>& erased);
  /// Counts all changes as published.
  void skip_publication();

  /// The sets "rows/<name>", and "candidates/<name>" (KeyedRows) or "counters/<name>"
  /// (BloomCounter).
  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings, StateChanges& changes);
  /// Returns whether the set is one of this table's. Error: throws StateError.
  bool restore(std::string_view set, std::uint64_t sequence, std::string_view bytes);

 private:
  // What `undo` must put back.
  struct CandidateBefore {
    KeyedRows::Row row;
    float count;
    std::uint32_t seen;
    bool is_new;
  };

  std::uint32_t slot_of(std::uint64_t key, std::uint64_t hash);
  std::uint32_t slot_of_row(KeyedRows::Row row);
  std::uint32_t use(KeyedRows::Row row, std::uint32_t seen_before);
  bool admit(std::uint64_t key);
  bool admit_candidate(std::uint64_t key, bool has_room);
  void initialise(std::uint64_t key, float* values) const;

  const Shape shape_;
  const std::string rows_set_, candidates_set_, counters_set_;
  const int admit_after_;
  const Duration expire_after_;
  const std::uint64_t max_rows_;
  const bool evicts_;
  KeyedRows rows_;
  /// One float each: how often the key was seen (exact, admit_after is at most 10⁶).
  KeyedRows candidates_;
  std::optional<BloomCounter> bloom_;  ///< Instead of candidates.
  Counters counters_;

  // The batch in progress.
  std::uint32_t now_ = 0;
  std::vector<Used> used_;
  std::vector<float> weights_;
  std::size_t looked_up_ = 0;  ///< So many of these; the rest is only read.
  std::vector<KeyedRows::Row> inserted_;
  std::vector<CandidateBefore> counted_;
  std::vector<KeyedRows::Row> promoted_;  ///< Candidates whose key got a row.
  Counters counters_before_;
};

}  // namespace millrace
