#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/shop.h"

namespace millrace {

/// Produces a shop's events live, in their order, on a thread of its own. Every few records it
/// waits until the broker has them, so that no partition is more than that many records ahead of
/// another, and none is late by the way of producing, however slow the machine and whatever the
/// broker does.
class ShopFeed {
 public:
  /// `rate`: records a second; 0: as fast as it goes.
  ShopFeed(Shop& shop, std::vector<ShopRecord> records, double rate);
  ~ShopFeed();

  /// Ends it where it stands; what it has produced until now.
  std::vector<ShopRecord> stop();
  /// Waits until everything is produced.
  void join();
  std::size_t produced() const { return produced_; }
  /// From now on.
  void set_rate(double rate) { rate_ = rate; }
  bool at_end() const { return produced_ == records_.size(); }

 private:
  void work();
  static void flush(TestProducer& producer);

  Shop& shop_;
  const std::vector<ShopRecord> records_;
  std::atomic<double> rate_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> produced_{0};
  std::thread thread_;
};

/// Looks on, on a thread of its own, while a daemon works, is killed, or goes without its broker:
/// the accounts in /metrics balance and never fall, and every request for a score is answered.
class ShopWatch {
 public:
  explicit ShopWatch(Shop& shop);
  ~ShopWatch();

  /// Whether a request without an answer is a failure: not while the daemon is killed.
  void demand_answers(bool demand) { demand_ = demand; }
  /// Committed events may fall: the state goes back to a snapshot.
  void expect_rewinds() { rewinds_ = true; }

  struct Seen {
    std::uint64_t scrapes = 0;  ///< With balanced accounts.
    std::uint64_t answers = 0;  ///< Scores with status 200.
    std::string first_failure;  ///< Empty: none.
  };
  /// Ends the watching.
  Seen end();

 private:
  void work();
  void look_at_accounts();
  void ask_for_a_score();
  void fail(const std::string& what);

  Shop& shop_;
  std::atomic<bool> stopping_{false}, demand_{false}, rewinds_{false};
  double most_taken_ = 0;
  Seen seen_;
  std::thread thread_;
};

}  // namespace millrace
