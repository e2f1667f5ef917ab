// The join alone, in memory, on one core: events into `add`, rows out of `advance`. The stream is a
// funnel on the tasks of the contract's configuration: of the impressions a tenth is clicked, of
// the clicks a twentieth bought and a third liked; outcomes come in the order of their times.
//
//   join_bench                       events/s with 50,000 to 5 million impressions that wait
#include <benchmark/benchmark.h>

#include <cstdint>
#include <ctime>
#include <queue>
#include <string>
#include <vector>

#include "ingest/join/joiner.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

// Of this thread: what else runs on the machine does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

constexpr std::int64_t kStart = 1'764'000'000'000;

struct Contract {
  EventTypes types;
  std::vector<LabelSource> labels;
  std::vector<Task> tasks;

  explicit Contract(Duration click_window) {
    types.outcomes = {{"click", "clicks", click_window},
                      {"conversion", "conversions", click_window * 144},
                      {"dwell", "dwell", click_window * 3, true},
                      {"like", "likes", click_window * 3}};
    tasks = {{.name = "ctr"},
             {.name = "cvr", .given = 0, .entire_space = true},
             {.name = "dwell", .kind = TaskKind::kRegression, .given = 0},
             {.name = "like", .given = 0}};
    labels.resize(4);
    for (int k = 0; k < 4; ++k) labels[static_cast<std::size_t>(k)].outcome = k;
  }
};

// Events in the order of their times: `rate` impressions a second and what follows from them.
class Funnel {
 public:
  explicit Funnel(int rate) : rate_(rate) {}

  Event next() {
    const std::int64_t shown = kStart + static_cast<std::int64_t>(count_) * 1000 / rate_;
    if (!later_.empty() && later_.top().time.ms <= shown) {
      Outcome outcome = later_.top();
      later_.pop();
      return outcome;
    }
    const auto random = philox(1, 0, count_);
    Impression impression{.id = "imp-" + std::to_string(count_++),
                          .time = {shown},
                          .features = EncodedFeatures(112, 'x'),
                          .sampling_rate = 1};
    if (to_unit(random[0]) < 0.1) {
      follow(impression, 0, 1 + random[1] % 20'000);
      follow(impression, 2, 1 + random[2] % 60'000);
      if (to_unit(random[3]) < 0.33) follow(impression, 3, 1 + random[1] % 60'000);
      if (to_unit(random[3]) < 0.05) follow(impression, 1, 1 + random[2] % 100'000);
    }
    return impression;
  }

 private:
  struct Later {
    bool operator()(const Outcome& a, const Outcome& b) const { return a.time > b.time; }
  };
  void follow(const Impression& impression, int type, std::int64_t delay) {
    later_.push({.impression_id = impression.id,
                 .type = type,
                 .time = {impression.time.ms + delay},
                 .event_id = "e" + std::to_string(count_) + std::to_string(type),
                 .value = 1.5});
  }

  const int rate_;
  std::uint64_t count_ = 0;
  std::priority_queue<Outcome, std::vector<Outcome>, Later> later_;
};

// Argument: impressions a second of event time; a click's window is a minute, so 60 times as many
// wait for their first label.
void join_events(benchmark::State& state) {
  constexpr int kEventsEach = 20'000;
  const Contract contract(Duration{60'000});
  const Schema schema({}, contract.tasks);
  JoinOptions options;
  Joiner joiner(schema, contract.types, contract.labels, options);
  Funnel funnel(static_cast<int>(state.range(0)));
  std::vector<Event> events;
  std::vector<JoinedRow> rows;
  std::uint64_t emitted = 0;
  const auto take = [&](std::vector<Event>& some) {
    for (Event& event : some) {
      joiner.add(std::move(event), rows);
      for (bool more = true; more;) {
        more = joiner.advance(4096, rows);
        emitted += rows.size();
        rows.clear();
      }
    }
  };
  const auto fill = [&] {
    events.clear();
    for (int i = 0; i < kEventsEach; ++i) events.push_back(funnel.next());
  };
  // Up to the steady state: windows full, and twice the lateness beyond.
  while (joiner.newest() < EventTime{kStart + 120'000}) {
    fill();
    take(events);
  }
  for (auto _ : state) {
    fill();
    const double start = cpu_seconds();
    take(events);
    const double seconds = cpu_seconds() - start;
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(state.iterations() * kEventsEach);
  const auto waiting = static_cast<double>(joiner.accounts().impressions.waiting);
  state.counters["waiting"] = waiting;
  state.counters["bytes_each"] = static_cast<double>(joiner.memory_bytes()) / waiting;
  benchmark::DoNotOptimize(emitted);
}
BENCHMARK(join_events)->Arg(1'000)->Arg(10'000)->Arg(50'000)->UseManualTime()->MinTime(1);

// What a commit every 20,000 events costs beside, however much waits.
void save_changes(benchmark::State& state) {
  constexpr int kEventsEach = 20'000;
  const Contract contract(Duration{60'000});
  const Schema schema({}, contract.tasks);
  Joiner joiner(schema, contract.types, contract.labels, JoinOptions{});
  Funnel funnel(static_cast<int>(state.range(0)));
  std::vector<JoinedRow> rows;
  std::uint64_t sequence = 0;
  const auto take = [&] {
    for (int i = 0; i < kEventsEach; ++i) {
      joiner.add(funnel.next(), rows);
      while (joiner.advance(4096, rows)) {
      }
      rows.clear();
    }
  };
  while (joiner.newest() < EventTime{kStart + 120'000}) take();
  joiner.save(++sequence, {});
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    take();
    const double start = cpu_seconds();
    const StateChanges changes = joiner.save(++sequence, {});
    const double seconds = cpu_seconds() - start;
    for (const auto& block : changes.blocks) bytes += block.bytes.size();
    state.SetIterationTime(seconds);
  }
  state.SetItemsProcessed(state.iterations() * kEventsEach);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(save_changes)->Arg(1'000)->Arg(50'000)->UseManualTime()->MinTime(1);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
