#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "learner/evaluate/auc.h"
#include "learner/synthetic/funnel.h"

namespace millrace {

/// People who look at a shop, as they happen: the funnel's events, each sent to its topic when its
/// time has come. Knows their true probabilities, and so the best AUC that any model could reach.
/// Threads: its own; what is read is safe on any.
class SimulatedUsers {
 public:
  /// Starts at once. `topics`: by type of event.
  SimulatedUsers(const FunnelOptions& options, const std::string& brokers,
                 std::map<std::string, std::string> topics);
  ~SimulatedUsers();

  std::uint64_t sent() const { return sent_; }
  /// Of a task of the demo (ctr, cvr, like) over all impressions so far; nothing for others.
  std::optional<double> best_auc(const std::string& task) const;

 private:
  void work();
  void note(const FunnelTruth& truth);

  static constexpr std::array<const char*, 3> kTasks{"ctr", "cvr", "like"};
  FunnelOptions options_;
  const std::string brokers_;
  const std::map<std::string, std::string> topics_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> sent_{0};
  mutable std::mutex mutex_;
  std::array<std::vector<BinCounts>, kTasks.size()> truths_;
  std::thread thread_;
};

}  // namespace millrace
