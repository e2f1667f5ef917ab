#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/cold_block.h"
#include "ingest/join/cold_index.h"
#include "ingest/join/cold_order.h"
#include "ingest/join/join_state.h"
#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// The waiting impressions that lie in the store: in blocks of neighbours in due time, which are
/// read back one by one when their time comes, or for a single impression that something happens
/// to. What is in memory: an index from the ids' hashes to the blocks, the order in which the
/// blocks are due, and which entries have left each.
///
/// Memory: 6 to 7 bytes an impression and about 90 a block (of 8 KiB, larger where there are more
/// than a million); blocks read ahead, at most `read_ahead` bytes; and those that the last `save`
/// handed over, until the next one, because only then they are surely in the store.
/// Errors: what the reader throws, StateError on damage. Threads: one at a time.
class ColdImpressions {
 public:
  /// Borrows `types`. `tasks`: how many the schema has. `read_ahead`: about how many bytes of
  /// blocks may be held because they will be needed soon. The value that keeps the next block's
  /// number; in no digest.
  static constexpr std::string_view kNextNumber = "cold";

  ColdImpressions(const EventTypes& types, int tasks, std::uint64_t read_ahead);
  ~ColdImpressions();

  /// From now on blocks may be written, and are read there. Borrowed.
  void use(ColdReader& reader) { reader_ = &reader; }
  bool usable() const { return reader_ != nullptr; }

  /// Puts an impression into the open block, which is in the next `save`. `due`: of its next label;
  /// `hash`: of its id. Requires: usable; within a block in the order of `due`.
  void put(EventTime due, const WaitingImpression& impression, std::uint64_t hash);
  /// Ends the open block, if there is one. Requires: before a `save` and before anything is asked.
  void close_block();

  /// Whether an impression of this id may be here; false is certain.
  bool may_have(std::string_view id) const;
  /// Takes it out; nothing where it is not here.
  std::optional<WaitingImpression> take(std::string_view id);
  /// A copy of it.
  std::optional<WaitingImpression> look_at(std::string_view id);
  /// Reads the blocks of those of these ids that may be here, all together; held until the next
  /// call. `take` is then a matter of memory.
  void fetch(std::span<const std::string_view> ids);

  /// No impression here is due before; after_all() of none.
  EventTime earliest();
  /// Takes the impressions of the block of that time and appends them, in any order.
  void take_earliest(std::vector<WaitingImpression>& taken);

  /// Where blocks that are half empty take up more than the living (and 64 MiB beside): takes the
  /// impressions of some of the oldest and appends them, and puts others anew.
  void tidy(std::vector<WaitingImpression>& taken);

  /// What changed since the last call.
  void save(StateChanges& changes);
  void restore_next(std::uint64_t number) { next_number_ = number; }
  void restore(std::uint64_t number, std::string_view directory, std::string_view left);

  std::size_t size() const { return index_.size(); }
  std::size_t blocks() const { return live_blocks_; }
  std::uint64_t bytes() const { return live_bytes_; }  ///< In the store, that live.
  std::uint64_t memory_bytes() const;
  std::uint64_t held_bytes() const { return held_bytes_; }  ///< Of blocks, within that.
  const ColdCounts& counts() const { return counts_; }

 private:
  // Where a number lies: of those from floor_ on.
  struct Numbered {
    std::uint32_t slot;
    std::uint32_t bytes;  // when it was put
  };
  // A slot and the generation of its block.
  using Handle = std::pair<std::uint32_t, std::uint32_t>;
  static constexpr std::uint32_t kNone = 0xffffffff;

  std::uint64_t block_bytes() const;
  // A new block, or an old one under a new number.
  void number(std::uint32_t slot, std::string bytes, std::string directory);
  std::uint32_t take_slot();
  void release(std::uint32_t slot);
  void forget_number(std::uint64_t number);
  void hold(std::uint32_t slot, std::shared_ptr<const std::string> bytes, ColdBlock::Held held);
  void let_go(std::uint32_t slot);
  void let_go_all(std::vector<Handle>& handles, ColdBlock::Held held);
  void read(std::span<const std::uint32_t> slots, ColdBlock::Held held);
  std::shared_ptr<const std::string> bytes_of(std::uint32_t slot);
  bool is_there(std::uint32_t slot, std::uint32_t generation) const {
    return slot < blocks_.size() && blocks_[slot].generation == generation;
  }
  void take_all(std::uint32_t slot, std::vector<WaitingImpression>& taken);
  void put_again(std::uint32_t slot);
  template <class Use>
  bool find(std::string_view id, Use&& use);

  const EventTypes& types_;
  const int tasks_;
  const std::uint64_t read_ahead_;
  ColdReader* reader_ = nullptr;
  ColdIndex index_;
  ColdOrder order_;
  std::vector<ColdBlock> blocks_;
  std::vector<std::uint32_t> free_;  // slots; a heap, the smallest first
  std::size_t live_blocks_ = 0;
  std::deque<Numbered> numbers_;  // from floor_ on
  std::uint64_t floor_ = 1, next_number_ = 1, saved_number_ = 0, saved_floor_ = 0;
  std::uint64_t live_bytes_ = 0, numbered_bytes_ = 0, put_bytes_ = 0, last_put_bytes_ = 0;
  std::uint64_t held_bytes_ = 0;
  // Blocks whose bytes are held; those that changed or were put since the last save.
  std::vector<Handle> pending_, fetched_, changed_, put_handles_;
  std::vector<StateChanges::ColdBlock> put_;
  std::vector<std::uint64_t> erased_;
  ColdCounts counts_;
  std::uint32_t last_generation_ = 0;
  // The open block.
  EntryWriter open_block_;
  EventTime open_due_;
  std::vector<std::uint64_t> open_places_;
  // Scratch.
  ByteWriter value_;
  std::vector<std::uint32_t> candidates_;
  std::vector<std::uint64_t> places_;
};

}  // namespace millrace
