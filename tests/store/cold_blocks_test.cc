// Cold blocks in the store: what is in them counts as if it lay in the owner's log, they come back
// by their directories alone, and the space of those that are gone is given up.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "store/database.h"
#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string bitmap(const std::vector<bool>& left) {
  std::string bytes((left.size() + 7) / 8, '\0');
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (left[i]) bytes[i / 8] = static_cast<char>(bytes[i / 8] | 1 << i % 8);
  }
  return bytes;
}

// A set of entries, all in cold blocks; of a directory only the keys are kept.
class ColdParticipant final : public Participant {
 public:
  struct Block {
    std::vector<std::string> keys;
    std::vector<bool> left;
  };

  std::uint64_t put(const std::vector<std::pair<std::string, std::string>>& entries) {
    EntryWriter writer;
    ByteWriter directory;
    Block& block = blocks[next];
    for (const auto& [key, value] : entries) {
      writer.put(key, value);
      directory.put_text(key);
      block.keys.push_back(key);
    }
    block.left.resize(entries.size());
    changes_.cold_blocks.push_back(
        {"set", next, std::make_shared<const std::string>(writer.take()), directory.take()});
    return next++;
  }
  void leave(std::uint64_t number, std::size_t entry) {
    blocks.at(number).left.at(entry) = true;
    changes_.cold_left.push_back({"set", number, bitmap(blocks.at(number).left)});
  }
  void erase(std::uint64_t number) {
    blocks.erase(number);
    changes_.cold_erased.push_back({"set", number});
    changes_.cold_floors.push_back({"set", blocks.empty() ? next : blocks.begin()->first});
  }
  std::string bytes_of(std::uint64_t number) { return reader->read("set", {&number, 1}).at(0); }

  std::string participant_name() const override { return "model/test"; }
  StateChanges save(std::uint64_t, std::span<const Cleaning>) override {
    return std::exchange(changes_, {});
  }
  void restore_value(std::string_view, std::string_view) override {}
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  void restored() override { ++times_restored; }
  void use_cold(ColdReader& cold) override { reader = &cold; }
  void restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                    std::string_view left) override {
    if (set != "set" || (!blocks.empty() && number <= blocks.rbegin()->first)) {
      throw StateError("out of order");
    }
    Block& block = blocks[number];
    ByteReader keys(directory);
    while (!keys.at_end()) block.keys.emplace_back(keys.get_text());
    block.left.resize(block.keys.size());
    for (std::size_t i = 0; i < block.left.size() && !left.empty(); ++i) {
      block.left[i] = (left[i / 8] >> i % 8 & 1) != 0;
    }
  }

  std::map<std::uint64_t, Block> blocks;
  std::uint64_t next = 1;
  ColdReader* reader = nullptr;
  int times_restored = 0;

 private:
  StateChanges changes_;
};

void commit_cold(Store& store, ColdParticipant& participant) {
  store.write({store.sequence() + 1,
               {{participant.participant_name(), participant.save(store.sequence() + 1, {})}}});
}

TEST(ColdBlocks, ComeBackByTheirDirectoriesAndAreReadOneByOne) {
  const TempFolder folder;
  std::uint64_t first = 0, second = 0, third = 0;
  {
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    ColdParticipant cold;
    store->restore(cold);
    EXPECT_EQ(cold.times_restored, 0);
    ASSERT_NE(cold.reader, nullptr) << "of a new store too";
    first = cold.put({{"a", "1"}, {"b", "2"}});
    second = cold.put({{"c", "3"}});
    commit_cold(*store, cold);
    third = cold.put({{"d", "4"}, {"e", "5"}, {"f", "6"}});
    cold.leave(first, 1);
    cold.leave(third, 0);
    cold.erase(second);
    commit_cold(*store, cold);
    EXPECT_NE(cold.bytes_of(first), cold.bytes_of(third));
  }
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  ColdParticipant cold;
  store->restore(cold);
  EXPECT_EQ(cold.times_restored, 1);
  ASSERT_EQ(cold.blocks.size(), 2u);
  EXPECT_EQ(cold.blocks[first].keys, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(cold.blocks[first].left, (std::vector<bool>{false, true}));
  EXPECT_EQ(cold.blocks[third].left, (std::vector<bool>{true, false, false}));
  const std::string bytes = cold.bytes_of(third);
  EntryReader reader(bytes);
  EntryReader::Entry entry;
  ASSERT_TRUE(reader.next(entry));
  EXPECT_EQ(entry.key, "d");
  EXPECT_THROW(cold.bytes_of(99), StoreError);
}

// The same entries, at random in the log and in cold blocks, give the same digest and sizes.
TEST(ColdBlocks, CountInTheDigestAsIfTheyLayInTheLog) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 20; ++round) {
    std::map<std::string, std::string> entries;
    for (int i = 0; i < 300; ++i) {
      entries[numbered("key", random() % 500)] = std::string(random() % 40, 'v');
    }
    const TempFolder folder;
    const auto plain = Store::open(folder / "plain", Store::Access::kWrite);
    const auto split = Store::open(folder / "split", Store::Access::kWrite);
    ModelParticipant hot;
    for (const auto& [key, value] : entries) hot.put(key, value);
    commit(*plain, hot);

    EntryWriter log;
    ColdParticipant cold;
    std::vector<std::pair<std::string, std::string>> block;
    std::size_t in_blocks = 0;
    for (const auto& [key, value] : entries) {
      if (random() % 3 == 0) {
        log.put(key, value);
        continue;
      }
      block.emplace_back(key, value);
      ++in_blocks;
      if (random() % 7 != 0) continue;
      const std::uint64_t number = cold.put(block);
      for (std::size_t i = 0; i < block.size(); ++i) {
        if (random() % 4 != 0) continue;
        log.put(block[i].first, block[i].second);
        cold.leave(number, i);
        --in_blocks;
      }
      block.clear();
    }
    cold.put({{"gone", "x"}});
    if (!block.empty()) cold.put(block);
    StateChanges changes = cold.save(1, {});
    for (auto& one : changes.cold_blocks) one.set = "entries";
    for (auto& one : changes.cold_left) one.set = "entries";
    changes.cold_erased.push_back(
        {"entries", changes.cold_blocks.size() - (block.empty() ? 0 : 1)});
    changes.blocks.push_back({"entries", log.take()});
    split->write({1, {{"model/test", std::move(changes)}}});

    const StateSummary a = plain->summarize(), b = split->summarize();
    EXPECT_EQ(a.digest, b.digest);
    EXPECT_EQ(a.digest, digest_of(hot));
    ASSERT_EQ(b.sets.size(), 1u);
    EXPECT_EQ(a.sets[0].entries, b.sets[0].entries);
    EXPECT_EQ(a.sets[0].bytes, b.sets[0].bytes);
    EXPECT_EQ(b.sets[0].cold_entries, in_blocks);
    EXPECT_GT(b.sets[0].cold_blocks, 5u);

    split->snapshot({1'700'000'000'000}, 1);
    const auto snapshots = split->snapshots();
    const auto copy =
        Store::open(folder / "split/snapshots/" + snapshots.at(0).name, Store::Access::kRead);
    EXPECT_EQ(copy->digest(), a.digest);
  }
}

// A queue of blocks that goes on for long: the living ones stay, and the files do not grow.
TEST(ColdBlocks, TheSpaceOfThoseThatAreGoneIsGivenUp) {
  const TempFolder folder;
  const std::string path = folder / "store";
  const auto size = [&] {
    std::uint64_t bytes = 0;
    for (const auto& file : fs::directory_iterator(path + "/db")) {
      std::error_code gone;
      const auto one = fs::file_size(file.path(), gone);
      if (!gone) bytes += one;
    }
    return bytes;
  };
  ColdParticipant cold;
  std::uint64_t put_bytes = 0;
  auto store = Store::open(path, Store::Access::kWrite);
  store->restore(cold);
  const std::uint64_t oldest = cold.put({{"oldest", "stays for a while"}});
  std::uint64_t largest = 0;
  for (int i = 0; i < 800; ++i) {
    for (int k = 0; k < 100; ++k) {
      cold.put({{numbered("key", k), std::string(10'000, static_cast<char>(i % 256))}});
      put_bytes += 10'000;
      if (cold.blocks.size() <= 5000) continue;
      const auto first = cold.blocks.begin();
      cold.erase(first->first == oldest ? std::next(first)->first : first->first);
    }
    if (i == 400) cold.erase(oldest);
    commit_cold(*store, cold);
    if (i > 550) largest = std::max(largest, size());
  }
  EXPECT_EQ(put_bytes, 800'000'000u);
  EXPECT_LT(largest, 450'000'000u) << "50 MB live; logs, buffers' files and what waits to be freed";
  store.reset();
  store = Store::open(path, Store::Access::kWrite);
  ColdParticipant restored;
  store->restore(restored);
  ASSERT_EQ(restored.blocks.size(), cold.blocks.size());
  for (const auto& [number, block] : restored.blocks) {
    EXPECT_EQ(block.keys, cold.blocks[number].keys);
    EXPECT_GT(restored.bytes_of(number).size(), 10'000u);
  }
  EXPECT_EQ(store->summarize().sets.at(0).entries, cold.blocks.size());
}

}  // namespace
}  // namespace millrace
