#include "tests/integration/shop_feed.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "tests/support/http_client.h"

namespace millrace {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t kChunk = 100;

constexpr const char* kScoreRequest =
    R"({"context":{"user_id":"u1","country":"DE"},"candidates":[{"id":1,"item_id":"m1"}]})";

}  // namespace

ShopFeed::ShopFeed(Shop& shop, std::vector<ShopRecord> records, double rate)
    : shop_(shop), records_(std::move(records)), rate_(rate), thread_([this] { work(); }) {}

ShopFeed::~ShopFeed() { stop(); }

void ShopFeed::join() {
  if (thread_.joinable()) thread_.join();
}

std::vector<ShopRecord> ShopFeed::stop() {
  stopping_ = true;
  join();
  return {records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(produced_.load())};
}

// A broker that is away is waited for as long as it takes.
void ShopFeed::flush(TestProducer& producer) {
  while (true) {
    try {
      producer.flush();
      return;
    } catch (const std::runtime_error&) {
    }
  }
}

void ShopFeed::work() {
  TestProducer producer(shop_.kafka().address(), {{"enable.idempotence", "true"},
                                                  {"message.timeout.ms", "600000"},
                                                  {"compression.codec", "lz4"}});
  auto due = steady_clock::now();
  while (!stopping_ && produced_ < records_.size()) {
    const std::size_t end = std::min(records_.size(), produced_ + kChunk);
    const std::size_t count = end - produced_;
    for (std::size_t i = produced_; i < end; ++i) producer.send(shop_.record(records_[i]));
    flush(producer);
    produced_ = end;
    const double rate = rate_;
    if (rate <= 0) continue;
    due += std::chrono::duration_cast<steady_clock::duration>(
        std::chrono::duration<double>(static_cast<double>(count) / rate));
    while (!stopping_ && steady_clock::now() < due) std::this_thread::sleep_for(2ms);
  }
}

ShopWatch::ShopWatch(Shop& shop) : shop_(shop), thread_([this] { work(); }) {}

ShopWatch::~ShopWatch() { end(); }

ShopWatch::Seen ShopWatch::end() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  return seen_;
}

void ShopWatch::fail(const std::string& what) {
  if (seen_.first_failure.empty()) seen_.first_failure = what;
}

void ShopWatch::work() {
  while (!stopping_) {
    look_at_accounts();
    for (int i = 0; i < 4 && !stopping_; ++i) {
      ask_for_a_score();
      std::this_thread::sleep_for(10ms);
    }
  }
}

void ShopWatch::look_at_accounts() {
  const Metrics metrics = scrape(shop_.port());
  if (metrics.empty()) return;
  const std::string imbalance = imbalance_of(metrics);
  if (!imbalance.empty()) fail("accounts: " + imbalance);
  const double taken = metrics.at("millrace_events_taken_total");
  if (taken < most_taken_ && !rewinds_) {
    fail("committed events fell from " + std::to_string(most_taken_) + " to " +
         std::to_string(taken));
  }
  most_taken_ = taken;
  ++seen_.scrapes;
}

void ShopWatch::ask_for_a_score() {
  const bool demanded = demand_;
  int status = 0;
  try {
    status = fetch(shop_.port(),
                   http_request("POST", "/v1/score", kScoreRequest, "Connection: close\r\n"))
                 .status;
  } catch (const std::runtime_error&) {
  }
  if (status == 200) ++seen_.answers;
  if (status != 200 && demanded && demand_) {
    fail("a request for a score was answered with " + std::to_string(status));
  }
}

}  // namespace millrace
