#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/join/joined_row.h"
#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/data/batch.h"
#include "learner/embedding/keyed_rows.h"
#include "learner/train/guardrail_options.h"

namespace millrace {

/// Bounds how much of the learning one user may have (`guardrails.user_cap`): of the rows of a user
/// that are due in one window, the first `rows` weigh what they weigh, and those beyond weigh 0 in
/// the losses. They are measured all the same, with their old weight, and stay in the accounts.
///
/// It stands between the join and the batches, where rows come in the order of their due times and
/// are not cut yet, so who is capped depends on the events alone: not on batches, threads, restarts
/// or where an impression waited. Windows are pieces of due time that begin at multiples of their
/// length. The two streams of rows (matured, and at once) run in due times of their own and are
/// counted apart. Every row that a batch takes counts as one, whatever it weighs; with a policy of
/// delayed feedback an impression has several, and each counts in the window in which it is due.
/// Rows without a user are never capped.
///
/// At most `users` users of a window are counted in each stream. When another one comes, every
/// count goes down by one, those at nothing go, and the new user is let through uncounted (Misra
/// and Gries 1982). So no user is ever capped too early, and one may have at most `rows` + n /
/// (users + 1) rows in a window of n rows. A new window forgets all of the one before.
///
/// State: the participant "user_cap" (store/FORMAT.md): the sets "matured" and "at_once", the
/// values "windows", and "counts", which is no part of the digest. With another `window`, or
/// without a cap, a restart begins a new window. Memory: about 31 bytes a user that is counted.
/// Cost: one look into a hash table a row. Threads: one at a time.
class UserCap final : public Participant {
 public:
  /// Since the store began.
  struct Counts {
    std::uint64_t rows = 0;   ///< Rows that weigh nothing,
    std::uint64_t users = 0;  ///< of so many users; one that is capped in two windows counts twice.
    std::uint64_t crowded = 0;  ///< Times that a window had more users than are counted.
  };
  /// Of what a user that is counted takes.
  static constexpr std::uint64_t kBytesEach = 31;

  /// Borrows `options`.
  explicit UserCap(const UserCapOptions& options) : options_(options) {}

  /// Counts the row if it will be trained, and takes its weight where it is beyond the cap.
  /// Requires: rows of a stream come in the order of their due times.
  void weigh(JoinedRow& row);
  const Counts& counts() const { return counts_; }
  std::uint64_t bytes() const;
  /// What `save` wrote as "counts". Error: throws StateError.
  static Counts read_counts(std::string_view bytes);

  std::string participant_name() const override { return "user_cap"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override;

 private:
  // The users of one stream's window. A row of `users` holds how many of the user's rows were
  // counted (exact as a float, and at most one beyond the cap).
  struct Window {
    std::int64_t number = EventTime::before_all().ms;
    KeyedRows users{1};
  };
  bool is_beyond(Window& window, std::uint64_t user);
  void lower_all(Window& window);

  const UserCapOptions& options_;
  std::array<Window, kStreams> windows_;
  Counts counts_;
  bool has_state_ = false;  // in the store
  Duration restored_window_{0};
};

}  // namespace millrace
