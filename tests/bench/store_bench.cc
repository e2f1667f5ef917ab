// What a commit and a start cost: a synced commit of 1 MB and 10 MB, and the restore of 500 MB.
#include <benchmark/benchmark.h>

#include <random>

#include "store/store.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

constexpr std::size_t kValueBytes = 200;

// A block of about `bytes` with keys from a ring of `keys`.
std::string block_of(std::size_t bytes, std::uint64_t keys, std::mt19937_64& random) {
  EntryWriter writer;
  const std::string value(kValueBytes, 'v');
  while (writer.size() < bytes) {
    const std::uint64_t key = random() % keys;
    writer.put({reinterpret_cast<const char*>(&key), sizeof key}, value);
  }
  return writer.take();
}

Commit commit_of(std::uint64_t sequence, std::string block) {
  StateChanges changes;
  changes.blocks.push_back({"rows", std::move(block)});
  Commit commit;
  commit.sequence = sequence;
  commit.parts.push_back({"model/bench", std::move(changes)});
  return commit;
}

void Commits(benchmark::State& state) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  std::mt19937_64 random(1);
  const std::string block = block_of(static_cast<std::size_t>(state.range(0)), 1'000'000, random);
  for (auto _ : state) {
    Commit commit = commit_of(store->sequence() + 1, block);
    store->write(commit);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(Commits)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Arg(10'000'000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Reads every entry, as an owner must.
class Counter final : public Participant {
 public:
  std::string participant_name() const override { return "model/bench"; }
  StateChanges save(std::uint64_t, std::span<const Cleaning>) override { return {}; }
  void restore_value(std::string_view, std::string_view) override {}
  void restore_block(std::string_view, std::uint64_t, std::string_view bytes) override {
    EntryReader reader(bytes);
    for (EntryReader::Entry entry; reader.next(entry);) ++entries;
  }
  void restored() override {}
  std::uint64_t entries = 0;
};

class Filled : public benchmark::Fixture {
 public:
  void SetUp(benchmark::State&) override {
    folder_ = std::make_unique<TempFolder>();
    const auto store = Store::open(path(), Store::Access::kWrite);
    std::mt19937_64 random(1);
    for (std::uint64_t i = 1; i <= 250; ++i) {
      store->write(commit_of(i, block_of(2'000'000, 1'000'000, random)));
    }
  }
  void TearDown(benchmark::State&) override { folder_.reset(); }
  std::string path() const { return *folder_ / "store"; }

 private:
  std::unique_ptr<TempFolder> folder_;
};

BENCHMARK_DEFINE_F(Filled, OpenAndRestore500MB)(benchmark::State& state) {
  for (auto _ : state) {
    const auto store = Store::open(path(), Store::Access::kWrite);
    Counter counter;
    store->restore(counter);
    benchmark::DoNotOptimize(counter.entries);
  }
}
BENCHMARK_REGISTER_F(Filled, OpenAndRestore500MB)
    ->Iterations(3)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

BENCHMARK_DEFINE_F(Filled, Digest500MB)(benchmark::State& state) {
  const auto store = Store::open(path(), Store::Access::kRead);
  for (auto _ : state) benchmark::DoNotOptimize(store->digest());
}
BENCHMARK_REGISTER_F(Filled, Digest500MB)
    ->Iterations(2)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
