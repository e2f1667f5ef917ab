#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ops/config/load.h"
#include "ops/engine/service.h"
#include "tests/support/http_client.h"
#include "tests/support/servers.h"
#include "tests/support/shop_events.h"

namespace millrace {

/// The contract's configuration, with windows that a test can outlive and fast commits.
inline Config daemon_config(const std::string& store, const std::string& brokers,
                            const std::map<std::string, std::string>& more = {}) {
  std::vector<ConfigOverride> overrides;
  auto set = [&](const std::string& key, const std::string& value) {
    overrides.push_back({key, value, "test"});
  };
  set("store.path", store);
  set("store.commit_every", "20ms");
  set("store.free_space", "0");
  set("kafka.brokers", brokers);
  set("serve.listen", "127.0.0.1:0");
  set("serve.publish_every", "50ms");
  set("join.allowed_lateness", "1s");
  set("join.max_skew", "1s");
  set("join.idle_after", "60s");
  set("join.quiet_after", "off");
  for (const char* outcome : {"click", "conversion", "dwell", "like"}) {
    set(std::string("events.") + outcome + ".window", "5s");
  }
  for (const auto& [key, value] : more) set(key, value);
  auto loaded = load_config(SOURCE_DIR "/tests/data/contract/millrace.yaml", overrides);
  if (!loaded) throw std::runtime_error(loaded.error().message);
  return loaded->config;
}

/// A daemon on a thread of this process; its log is kept. Stopped at the end.
class Daemon {
 public:
  explicit Daemon(const Config& config) {
    auto made = Service::make(config, [this](std::string_view level, const std::string& message) {
      const std::lock_guard lock(mutex_);
      log_ += std::string(level) + ": " + message + '\n';
    });
    if (!made) throw std::runtime_error(made.error().message);
    service_ = std::move(made).value();
    service_->start();
    thread_ = std::thread([this] { well_ = service_->run(stop_, {}); });
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() { stop(); }

  /// Whether it ended well.
  bool stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return well_;
  }
  HttpReply http(const std::string& method, const std::string& target,
                 const std::string& body = "") const {
    return fetch(service_->port(), http_request(method, target, body, "Connection: close\r\n"));
  }
  /// Whether a line of /metrics shows within half a minute.
  bool shows(const std::string& line) const {
    return within(
        [&] { return http("GET", "/metrics").body.find("\n" + line + "\n") != std::string::npos; });
  }
  static bool within(const std::function<bool()>& condition) {
    for (int i = 0; i < 600; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  VersionNumber version() const { return service_->serving().pin().version(); }
  std::string log() const {
    const std::lock_guard lock(mutex_);
    return log_;
  }

 private:
  mutable std::mutex mutex_;
  std::string log_;
  std::unique_ptr<Service> service_;
  std::atomic<bool> stop_{false};
  bool well_ = false;
  std::thread thread_;
};

inline void produce(const std::string& address, const std::vector<ShopRecord>& records,
                    int partitions) {
  TestProducer producer(address);
  for (const ShopRecord& record : records) {
    producer.send({.topic = record.topic,
                   .partition = partition_of(record.key, partitions),
                   .value = record.json,
                   .key = record.key});
  }
  producer.flush();
}

}  // namespace millrace
