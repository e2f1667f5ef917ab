#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

/// From the hash of an id to the slot that holds it: open addressing with linear probing, 8 bytes a
/// place. The hash alone never decides: the caller compares the id in the slot, so ids never
/// collide.
/// Memory: 8 bytes a place, at most 8 places an entry (and at least 1,024). Threads: one at a time.
class IdIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  IdIndex() : places_(kLeast) {}

  /// `hash` is of the whole id; its low 32 bits are kept, as the place to start from and as a first
  /// comparison. The slot for which `is_it(slot)` holds, among those of this hash; kNone.
  template <class IsIt>
  std::uint32_t find(std::uint64_t hash, IsIt&& is_it) const {
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::size_t at = home(tag); places_[at].slot != kNone; at = next(at)) {
      if (places_[at].tag == tag && is_it(places_[at].slot)) return places_[at].slot;
    }
    return kNone;
  }

  /// Requires: the id is not in the index.
  void insert(std::uint64_t hash, std::uint32_t slot) {
    if ((size_ + 1) * 4 > places_.size() * 3) resize(places_.size() * 2);
    place({static_cast<std::uint32_t>(hash), slot});
    ++size_;
  }

  /// Requires: the slot is in the index under this hash.
  void erase(std::uint64_t hash, std::uint32_t slot) {
    std::size_t hole = home(static_cast<std::uint32_t>(hash));
    while (places_[hole].slot != slot) hole = next(hole);
    // What follows moves up where it may, so that no search stops at the hole too early.
    for (std::size_t at = next(hole); places_[at].slot != kNone; at = next(at)) {
      const std::size_t from_home = (at - home(places_[at].tag)) & mask();
      const std::size_t from_hole = (at - hole) & mask();
      if (from_home < from_hole) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole].slot = kNone;
    --size_;
    if (places_.size() > kLeast && size_ * 8 < places_.size()) resize(places_.size() / 4);
  }

  /// Calls `use(slot)` for each entry, in no particular order: nothing that lasts may follow it.
  template <class Use>
  void for_each(Use&& use) const {
    for (const Place& p : places_) {
      if (p.slot != kNone) use(p.slot);
    }
  }

  std::size_t size() const { return size_; }
  std::uint64_t memory_bytes() const { return places_.capacity() * sizeof(Place); }

 private:
  static constexpr std::size_t kLeast = 1024;
  struct Place {
    std::uint32_t tag = 0;
    std::uint32_t slot = kNone;
  };

  std::size_t mask() const { return places_.size() - 1; }
  std::size_t home(std::uint32_t tag) const { return tag & mask(); }
  std::size_t next(std::size_t at) const { return (at + 1) & mask(); }
  void place(Place p) {
    std::size_t at = home(p.tag);
    while (places_[at].slot != kNone) at = next(at);
    places_[at] = p;
  }
  void resize(std::size_t places) {
    std::vector<Place> old(places < kLeast ? kLeast : places);
    old.swap(places_);
    for (const Place& p : old) {
      if (p.slot != kNone) place(p);
    }
  }

  std::vector<Place> places_;
  std::size_t size_ = 0;
};

}  // namespace millrace
