// The join alone, from JSON records to rows, at any size of its state: one thread decodes, joins
// and commits; nothing is trained. Every impression waits ten minutes for its click and seven days
// for its conversion, so that at each size as many are decided as come. A tenth is clicked, a
// twentieth converts within days; ids are new, as in life.
//
//   join_size_bench [--from 1M] [--waiting 4M] [--ratio 10] [--events 1M] [--in-memory]
//
// Runs with `--from` waiting impressions, twice that, and so on up to `--waiting`, each in a new
// store below the temporary folder with join.memory a `--ratio`th of the state (`--in-memory`: all
// of it). Rates are events per second of one core: what all threads of the process use counts,
// RocksDB's among them, but not what makes the records. A commit is written every 200,000 events,
// or when memory asks for it; its sync waits for the disk, which the second rate includes.
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/event/decode.h"
#include "ingest/join/joiner.h"
#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "store/store.h"
#include "tests/support/shop.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kStart = 1'764'000'000'000;
constexpr std::int64_t kWeek = 7 * 86'400'000LL;
constexpr std::size_t kTogether = 256;  // as the pipeline takes them
constexpr std::uint64_t kEventsPerCommit = 200'000;
constexpr double kBytesEach = 420;  // of an impression of this stream in memory

double cpu_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The records, in the order of their times: impressions at equal distances and what follows them.
class Stream {
 public:
  explicit Stream(std::uint64_t in_a_week)
      : between_(static_cast<double>(kWeek) / static_cast<double>(in_a_week)) {}

  void next(std::string& record) {
    const std::int64_t shown = time_of(count_);
    if (!later_.empty() && later_.top().time <= shown) {
      const Later outcome = later_.top();
      later_.pop();
      record = outcome.is_click ? R"({"type":"click","event_id":"c)"
                                : R"({"type":"conversion","event_id":"b)";
      record += std::to_string(outcome.impression);
      record += R"(","impression_id":")" + id_of(outcome.impression) + R"(","time":)" +
                std::to_string(outcome.time) + "}";
      return;
    }
    const auto r = philox(1, 0, count_);
    record = R"({"type":"impression","impression_id":")" + id_of(count_) + R"(","time":)" +
             std::to_string(shown) + R"(,"features":{"user_id":"u)" +
             std::to_string(r[0] % 2'000'000) + R"(","country":"DE","item_id":"m)" +
             std::to_string(r[1] % 50'000) +
             R"(","genres":["drama","crime"],"price":12.5,"taste":[0.1,-0.2,0,0.4,0,0,0.3,1]}})";
    if (to_unit(r[2]) < 0.10) later_.push({shown + 1000 + r[3] % 500'000, count_, true});
    if (to_unit(r[2]) > 0.95) {
      const double days = -1.5 * std::log(1 - to_unit(r[3]));
      const auto delay = static_cast<std::int64_t>(days * 86'400'000);
      if (delay < kWeek) later_.push({shown + delay, count_, false});
    }
    ++count_;
  }
  std::uint64_t impressions() const { return count_; }

 private:
  struct Later {
    std::int64_t time;
    std::uint64_t impression;
    bool is_click;
    bool operator<(const Later& other) const { return time > other.time; }
  };
  std::int64_t time_of(std::uint64_t i) const {
    return kStart + static_cast<std::int64_t>(static_cast<double>(i) * between_);
  }
  static std::string id_of(std::uint64_t i) {
    char text[20];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(mix_bits(i + 1)));
    return text;
  }

  const double between_;
  std::uint64_t count_ = 0;
  std::priority_queue<Later> later_;
};

struct Contract {
  EventTypes types;
  std::vector<LabelSource> labels;
  Schema schema;

  Contract() : types(shop_events()), labels(2), schema(shop_schema().features(), tasks()) {
    types.outcomes = {{"click", "clicks", Duration{600'000}},
                      {"conversion", "conversions", Duration{kWeek}}};
    labels[0].outcome = 0;
    labels[1].outcome = 1;
  }
  static std::vector<Task> tasks() { return {Task{.name = "ctr"}, Task{.name = "conversion"}}; }
};

// What is measured, with what makes the records taken off.
struct Spent {
  double cpu = 0, wall = 0;
  std::uint64_t events = 0;
};

class Run {
 public:
  Run(std::uint64_t waiting, std::uint64_t memory, bool in_memory)
      : stream_(waiting), decoder_(contract_.schema, contract_.types) {
    options_.memory.value = static_cast<std::int64_t>(memory);
    joiner_ = make();
    if (in_memory) return;
    store_ = Store::open(folder_ / "store", Store::Access::kWrite);
    store_->restore(*joiner_);
  }

  // Takes events until so many impressions came in all.
  Spent until(std::uint64_t impressions) {
    Spent spent;
    const double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    double making = 0;
    std::vector<std::string> records(4096);
    while (stream_.impressions() < impressions) {
      const double begin = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
      for (std::string& record : records) stream_.next(record);
      making += cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - begin;
      const auto now = Clock::now();
      take(records);
      spent.wall += std::chrono::duration<double>(Clock::now() - now).count();
      spent.events += records.size();
    }
    spent.cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - all - making;
    return spent;
  }

  const Joiner& joiner() const { return *joiner_; }
  std::uint64_t rows() const { return rows_emitted_; }

  // Seconds to open the store, which writes what its logs hold, and to restore the join.
  std::pair<double, double> restart() {
    commit();
    joiner_.reset();
    store_.reset();
    const auto begin = Clock::now();
    store_ = Store::open(folder_ / "store", Store::Access::kWrite);
    const auto opened = Clock::now();
    joiner_ = make();
    store_->restore(*joiner_);
    return {std::chrono::duration<double>(opened - begin).count(),
            std::chrono::duration<double>(Clock::now() - opened).count()};
  }

 private:
  std::unique_ptr<Joiner> make() const {
    return std::make_unique<Joiner>(contract_.schema, contract_.types, contract_.labels, options_);
  }

  void take(const std::vector<std::string>& records) {
    std::size_t next = 0;
    while (next < records.size()) {
      events_.clear();
      ids_.clear();
      while (next < records.size() && events_.size() < kTogether) {
        events_.push_back(decoder_.decode_line(records[next++], 1 << 20).value());
      }
      for (const Event& event : events_) {
        const auto* impression = std::get_if<Impression>(&event);
        ids_.push_back(impression ? impression->id : std::get<Outcome>(event).impression_id);
      }
      if (joiner_->sizes().in_store > 0) joiner_->prefetch(ids_);
      for (Event& event : events_) {
        ++joiner_->accounts().events;
        joiner_->add(std::move(event), rows_);
        bool more = true;
        while (more) {
          more = joiner_->advance(4096, rows_);
          rows_emitted_ += rows_.size();
          rows_.clear();
        }
      }
      since_commit_ += events_.size();
      const bool asked = joiner_->pressure() != JoinState::Pressure::kNone;
      if (store_ && (asked || since_commit_ >= kEventsPerCommit)) commit();
    }
  }

  void commit() {
    const auto cleanings = store_->cleanings();
    const std::uint64_t sequence = store_->sequence() + 1;
    store_->write({sequence, {{"join", joiner_->save(sequence, cleanings)}}});
    since_commit_ = 0;
  }

  const Contract contract_;
  const TempFolder folder_;
  Stream stream_;
  Decoder decoder_;
  JoinOptions options_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Joiner> joiner_;
  std::vector<Event> events_;
  std::vector<std::string_view> ids_;
  std::vector<JoinedRow> rows_;
  std::uint64_t rows_emitted_ = 0, since_commit_ = 0;
};

struct Arguments {
  std::uint64_t from = 1'000'000, waiting = 4'000'000, events = 1'000'000;
  double ratio = 10;
  bool in_memory = false;
};

void run(std::uint64_t waiting, const Arguments& arguments) {
  const auto memory =
      static_cast<std::uint64_t>(static_cast<double>(waiting) * kBytesEach / arguments.ratio);
  Run run(waiting, memory, arguments.in_memory);
  const Spent filling = run.until(waiting + 10'000);
  const std::uint64_t rows = run.rows();
  const JoinSizes before = run.joiner().sizes();
  const Spent spent = run.until(waiting + 10'000 + arguments.events);
  const JoinSizes sizes = run.joiner().sizes();
  const double events = static_cast<double>(spent.events);
  const auto million = [](std::uint64_t count) { return static_cast<double>(count) / 1e6; };
  std::printf("%8.2f %9.2f %7.0f %10.0f %10.0f %10.0f %7.2f %7.3f %7.3f",
              million(sizes.in_memory + sizes.in_store), million(sizes.in_store),
              static_cast<double>(memory) / (1 << 20),
              static_cast<double>(filling.events) / filling.cpu, events / spent.cpu,
              events / spent.wall, static_cast<double>(run.rows() - rows) / events,
              static_cast<double>(sizes.cold.found - before.cold.found) / events,
              static_cast<double>(sizes.cold.reads - before.cold.reads) / events);
  if (!arguments.in_memory) {
    const auto [open, restore] = run.restart();
    const JoinSizes after = run.joiner().sizes();
    std::printf(" %7.2f %7.2f", open, restore);
    if (after.in_store < sizes.in_store / 2) std::printf("  (lost impressions at the restart)");
  }
  std::printf("\n");
  std::fflush(stdout);
}

// "4M" → 4,000,000; nothing else is understood.
std::uint64_t parse_count(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc{} || (!unit.empty() && unit != "M" && unit != "k")) return 0;
  return count * (unit == "M" ? 1'000'000 : unit == "k" ? 1'000 : 1);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using namespace millrace;
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const std::uint64_t value = i + 1 < argc ? parse_count(argv[i + 1]) : 0;
    if (name == "--in-memory") {
      arguments.in_memory = true;
      continue;
    }
    if (value > 0 && name == "--waiting")
      arguments.waiting = value;
    else if (value > 0 && name == "--from")
      arguments.from = value;
    else if (value > 0 && name == "--events")
      arguments.events = value;
    else if (value > 0 && name == "--ratio")
      arguments.ratio = static_cast<double>(value);
    else {
      std::fprintf(
          stderr,
          "join_size_bench [--from 1M] [--waiting 4M] [--ratio 10] [--events 1M] [--in-memory]\n");
      return 64;
    }
    ++i;
  }
  std::printf("%8s %9s %7s %10s %10s %10s %7s %7s %7s %7s %7s\n", "waiting", "in store", "memory",
              "filling", "events/s", "with sync", "rows", "found", "reads", "open", "restore");
  std::printf("%8s %9s %7s %10s %10s %10s %7s %7s %7s %7s %7s\n", "million", "million", "MiB",
              "a core", "a core", "wall", "/event", "/event", "/event", "s", "s");
  for (std::uint64_t waiting = std::min(arguments.from, arguments.waiting);;
       waiting = std::min(arguments.waiting, 2 * waiting)) {
    run(waiting, arguments);
    if (waiting == arguments.waiting) return 0;
  }
}
