#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/servers.h"
#include "tests/support/shop_events.h"
#include "tests/support/temp_folder.h"

namespace millrace {

/// One /metrics answer: series ("name{labels}") → value. Empty where nobody answered.
using Metrics = std::map<std::string, double>;
Metrics scrape(int port);

/// Says how the accounts of contract/join.md do not balance; empty where they do.
std::string imbalance_of(const Metrics& metrics);
std::string imbalance_of(const boost::json::object& report);

/// The accounts of a report or of `inspect`, for comparisons.
boost::json::object accounts_of(const boost::json::object& report);

/// The contract's shop on topics, stores and a port of its own, and the program that runs on it.
/// Windows are 5 s, the lateness 1 s, and time goes by events alone, so that what becomes of the
/// events is a function of the events.
class Shop {
 public:
  /// `sets` go to every command. Topics are named after `name`.
  Shop(KafkaServer& kafka, std::string name, std::vector<std::string> sets = {},
       int partitions = 4);

  KafkaServer& kafka() const { return kafka_; }
  int partitions() const { return partitions_; }
  int port() const { return port_; }
  const TempFolder& folder() const { return folder_; }
  std::string store(const std::string& name) const { return folder_ / name; }
  std::string log(const std::string& name) const { return folder_ / (name + ".log"); }
  /// The topic that stands for one of the contract's.
  std::string topic(const std::string& name) const { return name_ + "." + name; }

  void create_topics();
  TestRecord record(const ShopRecord& record) const;
  std::string write_file(const std::string& name, const std::vector<ShopRecord>& records) const;

  /// `millrace NAME …`, or of tests/millrace-faults.
  std::vector<std::string> command(const std::string& name, const std::string& store,
                                   const std::vector<std::string>& sets = {},
                                   bool with_faults = false) const;

  /// Runs to the end; an empty report where it failed, with the log as a test failure.
  boost::json::object replay(const std::string& store, const std::vector<std::string>& sets = {},
                             const std::vector<std::string>& options = {});
  boost::json::object inspect(const std::string& store);

 private:
  KafkaServer& kafka_;
  const std::string name_;
  const int partitions_;
  const std::vector<std::string> sets_;
  const int port_;
  TempFolder folder_;
  int runs_ = 0;
};

/// The daemon of a shop, killed and started at will.
class ShopDaemon {
 public:
  ShopDaemon(Shop& shop, std::string store, std::vector<std::string> sets = {});

  /// Kills the process that runs first. `environment`: of tests/millrace-faults, which then runs in
  /// place of the program.
  void start(const std::map<std::string, std::string>& environment = {});
  void kill();
  /// SIGTERM; the exit code, or −1 where it does not end.
  int stop();
  ChildProcess& process() { return *process_; }
  bool is_up() { return process_ && process_->running(); }
  const std::string& store() const { return store_; }

  /// Waits until this many events are committed; starts it first where it was killed. False, with a
  /// test failure, where nothing is taken for `seconds`, or it ends by itself.
  bool wait_taken(std::uint64_t events, double seconds = 240);
  bool wait_ready(double seconds = 60);
  std::string log() const;

 private:
  Shop& shop_;
  const std::string store_;
  const std::vector<std::string> sets_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace millrace
