#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/embedding/key_index.h"

namespace millrace {

/// A growing set of rows of `width` floats, each under a 64-bit key (not kMissingKey), with the
/// second of event time in which it was last seen; it knows which rows changed or went since the
/// last publication and since the last commit, and saves itself as entries (Participant).
///
/// An entry: key: 8 bytes, little-endian; value: the floats' bits, then the second (u32). The
/// second is counted modulo 2³², so ages are right up to 136 years.
///
/// Rows never move: a pointer into a row is good until the row is erased.
/// Memory: 16 bytes and the floats a row, and the index; a growth takes 8192 more rows, that of a
/// large table up to four times as many, on huge pages where the system has them (which tables
/// share for what is small): rows are read here and there, and most of the cost was finding their
/// addresses. Threads: one at a time; readers of rows beside each other.
class KeyedRows {
 public:
  using Row = std::uint32_t;
  static constexpr Row kNone = KeyIndex::kNone;

  explicit KeyedRows(int width);

  int width() const { return width_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t bytes() const;

  /// The row of `key`, or kNone.
  Row find(std::uint64_t key) const {
    return index_.find(KeyIndex::hash(key), [&](Row row) { return header(row).key == key; });
  }
  const KeyIndex& index() const { return index_; }

  /// A new row; its floats are not set. Requires: `key` has none.
  Row insert(std::uint64_t key);
  /// Removes a row; its erasure will be published and committed where the row was.
  void erase(Row row);
  /// Removes a row that was inserted since the last `touch` of it, as if it had never been there.
  void forget(Row row);

  std::uint64_t key(Row row) const { return header(row).key; }
  float* values(Row row) {
    return pages_[row >> kPageBits].values +
           static_cast<std::size_t>(row & kPageMask) * static_cast<std::size_t>(width_);
  }
  const float* values(Row row) const { return const_cast<KeyedRows*>(this)->values(row); }
  /// Between two calls of `erase_older` a row's second never becomes an earlier one, and that of a
  /// new row is not before the first call's `now`; unless `doubt_ages` says so.
  std::uint32_t& seen(Row row) { return header(row).seen; }
  void doubt_ages() { oldest_.clear(); }
  void prefetch_header(Row row) const { __builtin_prefetch(&header(row), 1); }
  /// Fetches the header and the first `floats` floats.
  void prefetch(Row row, int floats) const {
    prefetch_header(row);
    const float* const at = values(row);
    for (int line = 0; line < floats; line += 16) __builtin_prefetch(at + line);
  }

  /// The row's floats or its second have changed.
  void touch(Row row) {
    Header& h = header(row);
    if (!h.uncommitted) {
      h.uncommitted = true;
      uncommitted_.push_back(row);
      if (uncommitted_.size() > most_listed()) shorten_lists();
    }
    if (tracks_publication_ && !h.unpublished) {
      h.unpublished = true;
      unpublished_.push_back(row);
      if (unpublished_.size() > most_listed()) shorten_lists();
    }
  }

  /// Calls use(row) for each row, which may erase that one.
  template <class Use>
  void for_each(Use&& use) {
    for (Row row = 0; row < end_; ++row) {
      if (header(row).key != 0) use(row);
    }
  }

  /// Erases every row that was last seen `age` seconds before `now` or earlier; returns how many.
  /// Requires: age < 2³¹, and no row's age is more than 2³² − 1.
  std::uint64_t erase_older(std::uint32_t now, std::uint32_t age);
  void erase_all();
  /// Erases the `count` rows that were last seen the longest before `now`; of those of one second
  /// the ones whose keys' hashes are lower, so that nothing depends on where rows stand. Rows that
  /// are alike in all of this (second and 32 bits of the hash) go together. Returns how many went.
  /// Cost: up to five passes over the rows' headers. Requires: 0 < count ≤ size().
  std::uint64_t erase_oldest(std::uint32_t now, std::uint64_t count);

  /// Calls use(row) for each row that was touched since the last call (`everything`: for each row),
  /// and then counts all as published; returns the keys that went and have no row now, ascending.
  /// Until the first call nothing is noted down, and that one gives everything.
  template <class Use>
  std::vector<std::uint64_t> take_unpublished(bool everything, Use&& use) {
    everything |= !std::exchange(tracks_publication_, true);
    if (everything) for_each(use);
    for (const Row row : unpublished_) {
      Header& h = header(row);
      if (!h.unpublished) continue;  // went, or is listed twice
      h.unpublished = false;
      if (!everything) use(row);
    }
    unpublished_.clear();
    return take_absent(erased_unpublished_);
  }

  /// Whether holds(row) for every row that `take_unpublished` would give.
  template <class Holds>
  bool unpublished_hold(bool everything, Holds&& holds) const {
    if (everything || !tracks_publication_) {
      for (Row row = 0; row < end_; ++row) {
        if (header(row).key != 0 && !holds(row)) return false;
      }
      return true;
    }
    for (const Row row : unpublished_) {
      if (header(row).unpublished && !holds(row)) return false;
    }
    return true;
  }

  /// Appends the changed entries of set `set`, and those of `cleanings` (blocks of this set) whose
  /// newest put is there; all of them count as put by commit `sequence`.
  void save(std::string_view set, std::uint64_t sequence, std::span<const Cleaning> cleanings,
            StateChanges& changes);
  /// Applies a saved block. Error: throws StateError.
  void restore(std::uint64_t sequence, std::string_view bytes);

 private:
  static constexpr int kPageBits = 13;
  static constexpr Row kPageRows = 1U << kPageBits;
  static constexpr Row kPageMask = kPageRows - 1;
  static constexpr Row kAgeRows = 256;

  struct Header {
    std::uint64_t key;              ///< 0: a free row.
    std::uint32_t seen;             ///< Second of event time, modulo 2³².
    std::uint32_t sequence : 30;    ///< Of the commit with the newest put; 0: in none.
    std::uint32_t uncommitted : 1;  ///< Is listed in uncommitted_.
    std::uint32_t unpublished : 1;  ///< Is listed in unpublished_.
  };
  struct Page {
    Header* headers;
    float* values;
  };

  Header& header(Row row) { return pages_[row >> kPageBits].headers[row & kPageMask]; }
  const Header& header(Row row) const { return pages_[row >> kPageBits].headers[row & kPageMask]; }
  void add_pages();
  // Rows that went and came again are listed twice; without a commit that could go on for ever.
  std::size_t most_listed() const { return 2 * size_ + kPageRows; }
  void shorten_lists();
  void remove(Row row);
  void put(Row row, std::uint32_t sequence, EntryWriter& writer);
  void restore(std::uint64_t key, const EntryReader::Entry& entry, std::uint64_t sequence);
  // Sorts and empties `keys`; what is left are those without a row, once each.
  std::vector<std::uint64_t> take_absent(std::vector<std::uint64_t>& keys) const;

  const int width_;
  bool tracks_publication_ = false;
  KeyIndex index_;
  std::vector<Page> pages_;
  std::vector<std::shared_ptr<void>> memory_;  ///< Of the pages.
  std::vector<Row> free_;                      ///< Rows below end_ that hold no key.
  Row end_ = 0;                                ///< Rows from here on were never used.
  std::uint64_t size_ = 0;
  /// For each kAgeRows rows, as far as `erase_older` came: none of them was last seen before.
  std::vector<std::uint32_t> oldest_;
  std::vector<Row> uncommitted_, unpublished_;
  std::vector<std::uint64_t> erased_uncommitted_, erased_unpublished_;
  std::string value_;  ///< Scratch of `put`.
};

}  // namespace millrace
