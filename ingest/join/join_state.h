#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/encode/features.h"
#include "ingest/event/user.h"
#include "ingest/join/change_log.h"
#include "ingest/join/cold_block.h"
#include "ingest/join/kept_outcome.h"
#include "ingest/join/task_set.h"
#include "ingest/join/windows.h"
#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// What short waits (Task::short_wait) have shown of an impression's open labels, and what a
/// migration left of another policy's.
struct ShortWaits {
  TaskSet passed = {};    ///< Tasks whose short wait is over.
  TaskSet observed = {};  ///< Those whose first row had the label 1.
  /// The age of the impression at the last of looks that repeat (dfm); −1: there was none. Of their
  /// tasks those have passed of which there was a row, and those were observed that had a 1.
  Duration looked_until{-1};
  /// Tasks that came under their policy while the impression waited. Those of them that have passed
  /// had their first row before. Some may be decided already.
  TaskSet carried = {};
};

/// An impression some of whose labels are not decided yet.
struct WaitingImpression {
  std::string id;
  EventTime time;
  EncodedFeatures features;
  double weight = 1;
  std::uint64_t user = kNoUser;  ///< user_key.
  TaskSet open;                  ///< Tasks whose labels are not decided; never empty.
  std::unique_ptr<AppliedOutcomes> applied = nullptr;  ///< None: nothing was applied.
  std::unique_ptr<ShortWaits> short_waits = nullptr;   ///< None: none has passed or was carried.
  PutMark mark = {};
  std::uint32_t slot = 0;  ///< The state's own: where it keeps it.

  /// Whether an outcome of this type was applied.
  bool has_applied(int type) const { return applied && applied->find(type) != applied->end(); }
  bool has_passed(int task) const { return short_waits && short_waits->passed.has(task); }
  bool is_carried(int task) const { return short_waits && short_waits->carried.has(task); }
  /// Bytes of heap memory, without those of short waits where nothing was carried.
  std::size_t heap_bytes() const;
};

/// Whether this look at an open label has passed.
bool has_passed(const WaitingImpression& impression, const Windows::Look& look);
/// When the next short wait of a label that is not decided ends; after_all() of none.
EventTime next_short_wait_of(const WaitingImpression& impression, const Windows& windows);
/// When something of the impression is due next: that, or a label.
EventTime next_due_of(const WaitingImpression& impression, const Windows& windows);

/// Where what waits lies.
struct JoinSizes {
  std::uint64_t in_memory = 0;    ///< Impressions.
  std::uint64_t in_store = 0;     ///< Impressions that are in the store alone,
  std::uint64_t blocks = 0;       ///< in so many blocks,
  std::uint64_t store_bytes = 0;  ///< of so many bytes that live.
  ColdCounts cold;
};

/// Told of each outcome whose time to wait is over.
using DroppedOutcome = std::function<void(std::string_view impression_id, KeptOutcome outcome)>;

/// What the join must remember: impressions that wait for labels and outcomes that wait for their
/// impressions, with the orders in which their time comes, and what of it is in the last commit.
///
/// The join's rules are in Joiner; a state only keeps, finds and orders. So state that is larger
/// than memory changes nothing there.
/// References and pointers to impressions are valid until the next call that may change the set of
/// impressions (`add`, `finish`). Threads: one at a time.
class JoinState {
 public:
  virtual ~JoinState() = default;

  /// Nothing if no impression of this id waits.
  virtual WaitingImpression* find(std::string_view id) = 0;
  /// Keeps it, and says where. Requires: none of this id waits, and it has open labels.
  virtual WaitingImpression& add(WaitingImpression impression) = 0;
  /// The waiting impression with the smallest (due time of its next label or short wait, time, id
  /// by its bytes), if that due time is before `limit`. The same one until `reschedule` or `finish`
  /// is called.
  virtual WaitingImpression* next_due(EventTime limit) = 0;
  /// What was due of the impression that `next_due` gave is done, and some labels are still open.
  virtual void reschedule(WaitingImpression& impression) = 0;
  /// All are decided: it is forgotten, and handed over. Requires: `next_due` gave it.
  virtual WaitingImpression finish(WaitingImpression& impression) = 0;
  /// Remembers an outcome as applied to a waiting impression. False if its identity was there.
  /// The impression counts as changed; its short waits may be changed until the next call.
  virtual bool apply(WaitingImpression& impression, KeptOutcome outcome) = 0;

  /// Keeps an outcome until its impression comes or its time is over.
  virtual void keep(std::string_view impression_id, KeptOutcome outcome) = 0;
  /// Hands over the outcomes that wait for this impression, in the order in which they came.
  virtual std::vector<KeptOutcome> take_kept(std::string_view impression_id) = 0;
  /// Drops outcomes that wait until before `limit`, telling each; stops after about `most`. Returns
  /// how many.
  virtual std::size_t drop_kept(EventTime limit, std::size_t most,
                                const DroppedOutcome& dropped) = 0;
  /// Whether `drop_kept` has more to do.
  virtual bool has_kept_until(EventTime limit) = 0;

  /// Shows a waiting impression wherever it lies, and leaves it there. False: none of this id
  /// waits.
  using Show = std::function<void(const WaitingImpression& impression, bool in_store)>;
  virtual bool look_at(std::string_view id, const Show& show) = 0;
  /// The outcomes that wait for this impression.
  virtual std::vector<KeptOutcome> look_at_kept(std::string_view impression_id) = 0;

  /// These impressions will soon be asked for: what the store has of them is read at once. Changes
  /// nothing else.
  virtual void prefetch(std::span<const std::string_view> ids) = 0;
  /// What memory asks of those who feed the join.
  enum class Pressure {
    kNone,
    kSave,  ///< A `save` soon, so that impressions may leave memory.
    kStop,  ///< No event before a `save`.
  };
  virtual Pressure pressure() const = 0;
  virtual JoinSizes sizes() const = 0;
  virtual std::uint64_t memory_bytes() const = 0;

  /// As Participant: the sets "impressions" and "outcomes", and values of its own.
  virtual void save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                    StateChanges& changes) = 0;
  /// False where the value is none of its own.
  virtual bool restore_value(std::string_view name, std::string_view bytes) = 0;
  virtual void restore_block(std::string_view set, std::uint64_t sequence,
                             std::string_view bytes) = 0;
  virtual void use_cold(ColdReader& reader) = 0;
  virtual void restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                            std::string_view left) = 0;
  virtual void restored() = 0;
};

}  // namespace millrace
