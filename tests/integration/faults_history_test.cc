// The join's contract against the program itself: on random configurations and random histories,
// which come in pieces to a `replay` that is killed, stopped and resumed, each row and each account
// is that of the brute-force join, and at each death the commit is one of its moments.
//
// A seed that fails prints its number and configuration. It alone:
//   MILLRACE_HISTORY_SEED=1234 build/release/tests/integration_test
//     --gtest_filter='FaultsHistory.*'
// Seeds from a million on are of Kafka topics, those below of files.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

#include "ingest/join/joiner.h"
#include "ops/config/load.h"
#include "ops/inspection.h"
#include "ops/report.h"
#include "tests/integration/fault_form.h"
#include "tests/integration/replay_history.h"
#include "tests/integration/shop.h"
#include "tests/support/met_accounts.h"

namespace millrace {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kFirstOfTopics = 1'000'000;
constexpr int kDeathsOfAPiece = 3;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Lines that were written to their end.
std::vector<std::string> rows_in(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<std::string> rows;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    rows.push_back(row_text(text.substr(begin, end - begin)));
  }
  return rows;
}

std::string text_of(const Accounts& accounts) {
  json::object out;
  add_accounts(accounts, out);
  return json::serialize(accounts_of(out));
}

// Of several inputs' dead letters the order is open.
Accounts without_reasons(Accounts accounts) {
  accounts.dead_letters = {};
  return accounts;
}

/// What all seeds together have met.
struct Met {
  MetFates fates;
  std::uint64_t replays = 0, deaths = 0, in_store = 0;

  void expect_everything() const {
    EXPECT_FALSE(fates.sums().empty());
    for (const std::uint64_t count : fates.sums()) EXPECT_GT(count, 0u);
    EXPECT_GT(deaths, 0u);
    EXPECT_GT(in_store, 0u);
  }
};

/// One history, by one store.
class HistoryRun {
 public:
  HistoryRun(std::uint64_t seed, ReplayHistory history, KafkaServer* kafka, Met& met)
      : history_(std::move(history)),
        expected_(expect(history_)),
        kafka_(kafka),
        met_(met),
        dice_(9'000'000'000 + seed) {
    std::ofstream(folder_ / "config.yaml") << history_.config;
    if (kafka_ != nullptr) create_topics();
  }

  /// Empty: every row and every account was as it should.
  std::string run() {
    for (std::size_t piece = 0; piece < history_.pieces.size(); ++piece) {
      deliver(piece);
      if (std::string problem = run_piece(piece); !problem.empty()) {
        return "piece " + std::to_string(piece) + ": " + problem;
      }
      if (compares_) {
        const std::string digest = undisturbed_digest(piece);
        if (digest != digest_) return "the digest is " + digest_ + ", undisturbed " + digest;
      }
      if (history_.spills) count_in_store();
    }
    met_.fates.add(expected_.moments.back().accounts);
    return "";
  }

 private:
  using Environment = std::map<std::string, std::string>;

  void create_topics() {
    std::map<std::string, int> partitions;
    for (const HistoryInput& input : history_.inputs) {
      partitions[input.topic] = std::max(partitions[input.topic], input.partition + 1);
    }
    for (const auto& [topic, count] : partitions) kafka_->create_topic(topic, count);
    producer_ = std::make_unique<TestProducer>(kafka_->address());
  }

  std::string file_of(std::size_t input) const {
    return folder_ / ("events" + std::to_string(input) + ".jsonl");
  }

  // Puts what the piece has more than the one before it where the program finds it.
  void deliver(std::size_t piece) {
    for (std::size_t i = 0; i < history_.inputs.size(); ++i) {
      const HistoryInput& input = history_.inputs[i];
      const std::size_t begin = piece == 0 ? 0 : history_.pieces[piece - 1].ends[i];
      std::ofstream file;
      if (kafka_ == nullptr) file.open(file_of(i), std::ios::app);
      for (std::size_t r = begin; r < history_.pieces[piece].ends[i]; ++r) {
        const std::string& text = input.records[r].json;
        if (kafka_ == nullptr) {
          file << text << '\n';
        } else {
          producer_->send({.topic = input.topic, .partition = input.partition, .value = text});
        }
      }
    }
    if (producer_) producer_->flush();
  }

  Environment draw_death() {
    static const std::vector<std::string> kPlaces{
        "commit.before_write", "commit.after_write",
        "commit.acknowledged", "clean.before_write",
        "clean.before_read",   "barrier.begin",
        "source.step",         "train.batch",
        "train.barrier",       "recovery.opened",
        "recovery.restored",   "recovery.before_first_commit",
        "commit.after_write",  "recovery.after_first_commit"};
    Environment environment;
    // Steps that take a while, so that there are commits in the middle of what is taken.
    environment["FAULT_POINTS"] = "source.step=sleep(12)@1+;" + dice_.pick(kPlaces) + "=kill@" +
                                  std::to_string(1 + dice_.below(4));
    if (dice_.chance(0.3)) environment["FAULT_FILES"] = "unsynced=lost@1+";
    return environment;
  }

  // Of a store that takes the same pieces in peace, with memory for all.
  std::string undisturbed_digest(std::size_t piece) {
    std::vector<std::string> arguments = command(piece, false, folder_ / "undisturbed");
    arguments.insert(arguments.end(), {"--set", "join.memory=256MiB"});
    ChildProcess process(arguments, log_);
    return process.wait(240) == 0 ? digest_in_report() : read_file(log_);
  }

  std::string digest_in_report() const {
    const json::value report = json::parse(read_file(folder_ / "report.json"));
    return std::string(report.at("digest").as_string());
  }

  std::vector<std::string> command(std::size_t piece, bool with_faults, const std::string& store) {
    std::vector<std::string> arguments{
        BINARY_DIR + std::string(with_faults ? "/tests/millrace-faults" : "/millrace"), "replay"};
    const std::pair<const char*, std::string> options[] = {
        {"--config", folder_ / "config.yaml"},
        {"--set", "store.path=" + store},
        {"--rows", rows_},
        {"--report", folder_ / "report.json"},
        {"--dead-letters", folder_ / "dead.jsonl"}};
    for (const auto& [option, value] : options) {
      arguments.insert(arguments.end(), {option, value});
    }
    if (kafka_ != nullptr) {
      arguments.insert(arguments.end(), {"--set", "kafka.brokers=" + kafka_->address()});
    } else {
      // The store knows the order in which it first saw them.
      const std::size_t files = history_.inputs.size();
      const std::size_t turn = piece == 0 ? 0 : static_cast<std::size_t>(dice_.below(4));
      for (std::size_t i = 0; i < files; ++i) {
        arguments.insert(arguments.end(), {"--events", file_of((i + turn) % files)});
      }
    }
    if (history_.pieces[piece].flush) arguments.emplace_back("--flush");
    return arguments;
  }

  std::string run_piece(std::size_t piece) {
    const std::size_t end = expected_.piece_ends[piece];
    for (int deaths = 0;;) {
      Environment environment;
      if (deaths < kDeathsOfAPiece && dice_.chance(0.5)) environment = draw_death();
      const bool stopped = environment.empty() && deaths < kDeathsOfAPiece && dice_.chance(0.1);
      fs::remove(log_);
      fs::remove(rows_);
      ChildProcess process(command(piece, !environment.empty(), store_), log_, environment);
      ++met_.replays;
      if (stopped) {
        std::this_thread::sleep_for(std::chrono::milliseconds(dice_.below(100)));
        process.signal(SIGTERM);
      }
      const int code = process.wait(240).value_or(-1);
      const bool died = code == 128 + SIGKILL || (stopped && (code == 1 || code == 128 + SIGTERM));
      if (!died && code != 0) return "exit code " + std::to_string(code) + "\n" + read_file(log_);
      if (!died) return judge_end(end);
      ++deaths;
      ++met_.deaths;
      const std::string where = environment.empty() ? "SIGTERM" : environment["FAULT_POINTS"];
      if (std::string problem = judge_death(end); !problem.empty()) return where + ": " + problem;
    }
  }

  // The rows of this replay are those since the commit that it began with.
  std::string judge_rows(std::size_t least, bool exactly) {
    const std::vector<std::string> rows = rows_in(rows_);
    const std::size_t begin = expected_.moments[now_].rows;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t at = begin + i;
      const std::string expected = at < expected_.rows.size() ? expected_.rows[at] : "none";
      if (rows[i] == expected) continue;
      return "row " + std::to_string(at) + "\n  expected " + expected + "\n  got      " + rows[i];
    }
    const std::size_t got = begin + rows.size();
    if (got >= least && (!exactly || got == least)) return "";
    return std::to_string(got) + " rows until now, expected " + std::to_string(least);
  }

  std::string judge_end(std::size_t end) {
    const ExpectedReplay::Moment& moment = expected_.moments[end];
    const json::object report = json::parse(read_file(folder_ / "report.json")).as_object();
    const std::string accounts = json::serialize(accounts_of(report));
    if (accounts != text_of(moment.accounts)) {
      return "accounts\n  expected " + text_of(moment.accounts) + "\n  got      " + accounts;
    }
    if (std::string unequal = imbalance_of(report); !unequal.empty()) return unequal;
    std::string problem = judge_rows(moment.rows, true);
    digest_ = digest_in_report();
    now_ = end;
    return problem;
  }

  // What is committed is a moment between the start of this piece and its end. Where several have
  // the same accounts (a flush may find nothing to decide), the rows are the same too.
  std::string judge_death(std::size_t end) {
    if (!Store::exists(store_)) return now_ == 0 ? "" : "the store is gone";
    const auto store = Store::open(store_, Store::Access::kRead);
    if (store->sequence() == 0) return now_ == 0 ? "" : "the commits are gone";
    const Accounts accounts = inspect(*store).accounts;
    for (std::size_t moment = now_; moment <= end; ++moment) {
      const Accounts& expected = expected_.moments[moment].accounts;
      if (without_reasons(expected) != without_reasons(accounts)) continue;
      std::string problem = judge_rows(expected_.moments[moment].rows, false);
      now_ = moment;
      return problem;
    }
    return "the commit is none of the moments; it was " +
           text_of(expected_.moments[now_].accounts) + " and is " + text_of(accounts);
  }

  void count_in_store() {
    const auto loaded = load_config(folder_ / "config.yaml", {});
    const Config& config = loaded->config;
    const Schema schema = config.schema();
    Joiner joiner(schema, config.events, config.labels, config.join);
    const auto store = Store::open(store_, Store::Access::kRead);
    store->restore(joiner);
    met_.in_store += joiner.sizes().in_store;
  }

  const ReplayHistory history_;
  const ExpectedReplay expected_;
  KafkaServer* const kafka_;
  Met& met_;
  Dice dice_;
  const bool compares_ = dice_.chance(0.3);  // digests
  TempFolder folder_;
  std::unique_ptr<TestProducer> producer_;
  const std::string store_ = folder_ / "store", rows_ = folder_ / "rows.jsonl",
                    log_ = folder_ / "log";
  std::size_t now_ = 0;  // the moment of the last commit
  std::string digest_;
};

struct FaultsHistory : ::testing::Test {
  Met met;

  // Runs seeds from `first` on, or the one that is asked for.
  template <class MakeHistory>
  void run_seeds(std::uint64_t first, int count, KafkaServer* kafka, const MakeHistory& make) {
    std::uint64_t last = first + static_cast<std::uint64_t>(count) - 1;
    const char* wanted = std::getenv("MILLRACE_HISTORY_SEED");
    if (wanted != nullptr) {
      const std::uint64_t seed = std::strtoull(wanted, nullptr, 10);
      if ((seed >= kFirstOfTopics) != (first >= kFirstOfTopics)) {
        GTEST_SKIP() << "MILLRACE_HISTORY_SEED is of the other test; runs on any machine";
      }
      first = last = seed;
    }
    for (std::uint64_t seed = first; seed <= last; ++seed) {
      const ReplayHistory history = make(seed);
      const std::string problem = HistoryRun(seed, history, kafka, met).run();
      EXPECT_EQ(problem, "") << "seed " << seed << '\n' << history.config;
    }
    if (wanted == nullptr && count > 10) met.expect_everything();
    report_figure("seeds", count);
    report_figure("replays", met.replays);
    report_figure("deaths", met.deaths);
    report_figure("left_in_store", met.in_store);
  }
};

TEST_F(FaultsHistory, OfFilesEqualsTheBruteForceJoin) {
  run_seeds(0, by_form(20, 600), nullptr, history_of_files);
}

TEST_F(FaultsHistory, OfTopicsEqualsTheBruteForceJoin) {
  run_seeds(kFirstOfTopics, by_form(4, 100), &KafkaServer::shared(), [](std::uint64_t seed) {
    return history_of_topics(seed, "history" + std::to_string(seed) + ".");
  });
}

}  // namespace
}  // namespace millrace
