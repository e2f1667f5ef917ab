// The cleaning policy against simulated owners: whatever lives and whatever churns, a set's log
// stays within a multiple of what lives, in few pieces, and no commit becomes huge.
#include "store/piece_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "store/pieces.h"

namespace millrace {
namespace {

// An owner of entries of equal size that keeps the rules of Participant, with the store's part of
// the work done on numbers alone.
class Simulation {
 public:
  Simulation(int keys, std::uint64_t entry_bytes)
      : entry_bytes_(entry_bytes), newest_(static_cast<std::size_t>(keys), 0) {}

  // One commit that puts `keys` (each once); returns its bytes.
  std::uint64_t commit(std::vector<int> keys) {
    const std::uint64_t sequence = ++sequence_;
    const auto cleaned = index_.to_clean();
    for (const int key : keys) newest_[static_cast<std::size_t>(key)] = sequence;
    std::uint64_t handed = 0;
    for (const keys::PieceKey& piece : cleaned) {
      const Piece& oldest = pieces_.front();
      EXPECT_EQ(oldest.key, piece);
      handed += oldest.keys.size() * entry_bytes_;
      for (const int key : oldest.keys) {
        if (newest_[static_cast<std::size_t>(key)] != oldest.key.sequence) continue;
        newest_[static_cast<std::size_t>(key)] = sequence;
        keys.push_back(key);
      }
      pieces_.pop_front();
      index_.remove_oldest(piece);
    }
    largest_handed_ = std::max(largest_handed_, handed);
    write(sequence, keys);
    index_.set_live_bytes("p", "s", live() * entry_bytes_);
    index_.end_commit();
    return keys.size() * entry_bytes_;
  }

  const PieceIndex& index() const { return index_; }
  std::uint64_t live_bytes() const { return live() * entry_bytes_; }
  std::uint64_t largest_handed() const { return largest_handed_; }

 private:
  struct Piece {
    keys::PieceKey key;
    std::vector<int> keys;
  };
  std::uint64_t live() const {
    return static_cast<std::uint64_t>(
        std::count_if(newest_.begin(), newest_.end(), [](std::uint64_t at) { return at > 0; }));
  }
  void write(std::uint64_t sequence, const std::vector<int>& keys) {
    const std::size_t per_piece = kPieceBytes / entry_bytes_;
    std::uint32_t number = 0;
    for (std::size_t from = 0; from < keys.size(); from += per_piece) {
      const std::size_t to = std::min(keys.size(), from + per_piece);
      const keys::PieceKey at{"p", sequence, "s", number++};
      pieces_.push_back(
          {at, {keys.begin() + static_cast<long>(from), keys.begin() + static_cast<long>(to)}});
      index_.add(at, (to - from) * entry_bytes_);
    }
  }

  const std::uint64_t entry_bytes_;
  std::vector<std::uint64_t> newest_;  // by key: the commit of its newest put; 0: none
  std::deque<Piece> pieces_;
  PieceIndex index_;
  std::uint64_t sequence_ = 0, largest_handed_ = 0;
};

std::vector<int> distinct(std::mt19937_64& random, int from, int to, int count) {
  std::vector<int> keys;
  for (int i = 0; i < count; ++i) {
    keys.push_back(from + static_cast<int>(random() % static_cast<unsigned>(to - from)));
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

constexpr std::uint64_t kMiB = 1 << 20;

// 200 MB that never change under 0.5–10 MB that do: while the cold pieces are the oldest, all that
// is handed out has to be put again.
TEST(PieceIndex, AColdBaseUnderHotEntriesStaysBounded) {
  for (const int hot_per_commit : {500, 2000, 10'000}) {
    Simulation owner(220'000, 1000);
    for (int from = 0; from < 200'000; from += 2000) {
      std::vector<int> keys(2000);
      for (int i = 0; i < 2000; ++i) keys[static_cast<std::size_t>(i)] = from + i;
      owner.commit(keys);
    }
    std::mt19937_64 random(5);
    std::uint64_t largest_log = 0, largest_commit = 0, all = 0;
    const int commits = 12'000'000 / hot_per_commit / 10;
    for (int i = 0; i < commits; ++i) {
      const auto written = owner.commit(distinct(random, 200'000, 220'000, hot_per_commit));
      largest_commit = std::max(largest_commit, written);
      all += written;
      largest_log = std::max(largest_log, owner.index().totals().bytes);
    }
    const std::uint64_t live = owner.live_bytes();
    const std::uint64_t own = static_cast<std::uint64_t>(hot_per_commit) * 1000;
    EXPECT_LT(largest_log, 5 * live / 2 + 64 * kMiB) << hot_per_commit;
    EXPECT_LT(largest_commit, std::max(4 * kMiB, 3 * own) + own + 2 * kPieceBytes);
    EXPECT_LT(all, 4 * own * static_cast<std::uint64_t>(commits)) << "puts again too much";
  }
}

TEST(PieceIndex, WhatIsForgottenSoonIsNotPutAgainForEver) {
  Simulation owner(50'000, 1000);  // each key is put in turn: the oldest pieces are dead
  std::uint64_t all = 0, largest_log = 0;
  int next = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<int> keys(1000);
    for (int& key : keys) key = next++ % 50'000;
    all += owner.commit(keys);
    largest_log = std::max(largest_log, owner.index().totals().bytes);
  }
  EXPECT_LT(largest_log, 2 * owner.live_bytes() + 64 * kMiB);
  EXPECT_LT(all, 3100u * 1000 * 1000) << "nothing that was handed out lived";
}

TEST(PieceIndex, SmallCommitsStayFewPieces) {
  Simulation owner(10'000, 100);
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    owner.commit(distinct(random, 0, 10'000, 3));
    ASSERT_LE(owner.index().totals().pieces, 1024u + 4u);
  }
}

TEST(PieceIndex, LittleIsLeftAlone) {
  Simulation owner(1000, 1000);
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) owner.commit(distinct(random, 0, 1000, 100));  // 30 MB, 1 MB alive
  EXPECT_EQ(owner.largest_handed(), 0u);
}

TEST(PieceIndex, TheOrderOfRemovalIsChecked) {
  PieceIndex index;
  index.add({"p", 1, "s", 0}, 10);
  index.add({"p", 1, "s", 1}, 10);
  EXPECT_DEATH(index.add({"p", 1, "s", 1}, 10), "last.sequence");
  EXPECT_DEATH(index.remove_oldest({"p", 1, "s", 1}), "oldest");
  index.remove_oldest({"p", 1, "s", 0});
  EXPECT_EQ(index.totals().pieces, 1u);
  EXPECT_EQ(index.sets_of("p").at("s").bytes, 10u);
  EXPECT_EQ(index.sets_of("p").at("s").live_bytes, std::nullopt);
}

}  // namespace
}  // namespace millrace
