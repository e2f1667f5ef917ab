#include "ops/demo/simulated_users.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "ops/demo/event_producer.h"
#include "ops/log.h"
#include "ops/wall_clock.h"

namespace millrace {

SimulatedUsers::SimulatedUsers(const FunnelOptions& options, const std::string& brokers,
                               std::map<std::string, std::string> topics)
    : options_(options), brokers_(brokers), topics_(std::move(topics)) {
  for (auto& bins : truths_) bins.resize(kAucBins);
  thread_ = std::thread([this] {
    try {
      work();
    } catch (const std::exception& error) {
      log_line("error", std::string("the simulated users have left: ") + error.what());
    }
  });
}

SimulatedUsers::~SimulatedUsers() {
  stop_ = true;
  thread_.join();
}

void SimulatedUsers::work() {
  EventProducer producer(brokers_, {});
  Funnel funnel(options_);
  while (!stop_) {
    const FunnelEvent event = funnel.next();
    while (!stop_ && wall_clock() < event.time) {
      std::this_thread::sleep_for(std::min(event.time - wall_clock(), Duration{20}));
    }
    if (event.truth) note(*event.truth);
    producer.send(topics_.at(std::string(event.type)), event.impression_id, event.json);
    ++sent_;
  }
}

void SimulatedUsers::note(const FunnelTruth& truth) {
  const std::lock_guard lock(mutex_);
  auto add = [&](std::size_t task, double probability, bool happened) {
    BinCounts& bin = truths_[task][static_cast<std::size_t>(
        auc_bin(std::log(probability) - std::log1p(-probability)))];
    (happened ? bin.positives : bin.negatives) += 1;
  };
  add(0, truth.ctr, truth.clicked);
  if (!truth.clicked) return;
  add(1, truth.cvr, truth.converted);
  add(2, truth.like, truth.liked);
}

std::optional<double> SimulatedUsers::best_auc(const std::string& task) const {
  const auto found = std::find(kTasks.begin(), kTasks.end(), task);
  if (found == kTasks.end()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto auc = auc_of(truths_[static_cast<std::size_t>(found - kTasks.begin())]);
  return auc ? std::optional<double>(auc->value) : std::nullopt;
}

}  // namespace millrace
