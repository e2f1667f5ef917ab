#include "tests/integration/shop.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "tests/support/http_client.h"

namespace millrace {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

const std::string kConfig = SOURCE_DIR "/tests/data/contract/millrace.yaml";
const std::vector<std::string> kTopics{"impressions", "clicks", "conversions", "dwell", "likes"};
const std::vector<std::string> kTypes{"impression", "click", "conversion", "dwell", "like"};

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

double sum_of(const Metrics& metrics, const std::string& prefix) {
  double sum = 0;
  for (auto it = metrics.lower_bound(prefix); it != metrics.end() && it->first.starts_with(prefix);
       ++it) {
    sum += it->second;
  }
  return sum;
}

std::uint64_t number(const json::value& value) { return value.to_number<std::uint64_t>(); }

// The sum of all members but "in".
std::uint64_t results_of(const json::object& account) {
  std::uint64_t sum = 0;
  for (const auto& [name, value] : account) sum += name == "in" ? 0 : number(value);
  return sum;
}

}  // namespace

Metrics scrape(int port) {
  Metrics metrics;
  HttpReply reply;
  try {
    reply = fetch(port, http_request("GET", "/metrics", "", "Connection: close\r\n"));
  } catch (const std::runtime_error&) {
    return metrics;
  }
  if (reply.status != 200) return metrics;
  std::istringstream lines(reply.body);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.rfind(' ');
    if (line.starts_with("#") || space == std::string::npos) continue;
    metrics[line.substr(0, space)] = std::strtod(line.c_str() + space + 1, nullptr);
  }
  return metrics;
}

std::string imbalance_of(const Metrics& metrics) {
  const double taken = metrics.at("millrace_events_taken_total");
  const double dead = sum_of(metrics, "millrace_dead_letters_total{");
  const double in =
      sum_of(metrics, "millrace_events_total{") + sum_of(metrics, "millrace_waiting{");
  if (taken == dead + in) return "";
  return std::to_string(taken) + " taken, " + std::to_string(dead) + " dead letters, " +
         std::to_string(in) + " accounted for";
}

std::string imbalance_of(const json::object& report) {
  std::uint64_t dead = 0;
  for (const auto& reason : report.at("dead_letters").as_object()) dead += number(reason.value());
  const json::object& i = report.at("impressions").as_object();
  const json::object& o = report.at("outcomes").as_object();
  const std::uint64_t samples = number(report.at("samples").at("in"));
  const bool balanced =
      number(report.at("events")) == dead + number(i.at("in")) + number(o.at("in")) + samples &&
      number(i.at("in")) == results_of(i) && number(o.at("in")) == results_of(o);
  return balanced ? "" : json::serialize(accounts_of(report));
}

json::object accounts_of(const json::object& report) {
  json::object accounts;
  for (const char* key : {"events", "dead_letters", "impressions", "outcomes", "samples", "rows"}) {
    accounts[key] = report.at(key);
  }
  return accounts;
}

Shop::Shop(KafkaServer& kafka, std::string name, std::vector<std::string> sets, int partitions)
    : kafka_(kafka),
      name_(std::move(name)),
      partitions_(partitions),
      sets_(std::move(sets)),
      port_(free_port()) {}

void Shop::create_topics() {
  for (const std::string& name : kTopics) kafka_.create_topic(topic(name), partitions_);
  kafka_.create_topic(topic("dead"), 1);
}

TestRecord Shop::record(const ShopRecord& record) const {
  return {.topic = topic(record.topic),
          .partition = partition_of(record.key, partitions_),
          .value = record.json,
          .key = record.key};
}

std::string Shop::write_file(const std::string& name,
                             const std::vector<ShopRecord>& records) const {
  const std::string path = folder_ / name;
  std::ofstream file(path);
  for (const ShopRecord& record : records) file << record.json << '\n';
  return path;
}

std::vector<std::string> Shop::command(const std::string& name, const std::string& store,
                                       const std::vector<std::string>& sets,
                                       bool with_faults) const {
  std::vector<std::string> arguments{
      BINARY_DIR + std::string(with_faults ? "/tests/millrace-faults" : "/millrace"), name,
      "--config", kConfig};
  auto set = [&](const std::string& text) {
    arguments.emplace_back("--set");
    arguments.push_back(text);
  };
  set("store.path=" + this->store(store));
  set("store.commit_every=50ms");
  set("join.allowed_lateness=1s");
  set("join.max_skew=1s");
  set("join.quiet_after=off");
  // A machine that is busy must not make the merge go on without a partition.
  set("join.idle_after=10m");
  set("kafka.brokers=" + kafka_.address());
  set("dead_letters.topic=" + topic("dead"));
  set("serve.listen=127.0.0.1:" + std::to_string(port_));
  for (std::size_t i = 0; i < kTopics.size(); ++i) {
    set("events." + kTypes[i] + ".topic=" + topic(kTopics[i]));
    if (i > 0) set("events." + kTypes[i] + ".window=5s");
  }
  for (const std::string& one : sets_) set(one);
  for (const std::string& one : sets) set(one);
  return arguments;
}

json::object Shop::replay(const std::string& store, const std::vector<std::string>& sets,
                          const std::vector<std::string>& options) {
  const std::string name = "replay" + std::to_string(++runs_);
  const std::string report = folder_ / (name + ".json");
  std::vector<std::string> arguments = command("replay", store, sets);
  arguments.insert(arguments.end(), options.begin(), options.end());
  arguments.insert(arguments.end(), {"--report", report});
  ChildProcess process(arguments, log(name));
  const int code = process.wait(300).value_or(-1);
  EXPECT_EQ(code, 0) << read_file(log(name));
  return code == 0 ? json::parse(read_file(report)).as_object() : json::object{};
}

json::object Shop::inspect(const std::string& store) {
  const std::string file = log("inspect" + std::to_string(++runs_));
  ChildProcess process({BINARY_DIR "/millrace", "inspect", "--store", this->store(store), "--json"},
                       file);
  const std::optional<int> code = process.wait(60);
  const std::string text = read_file(file);
  EXPECT_EQ(code, 0) << text;
  return code == 0 ? json::parse(text).as_object() : json::object{};
}

ShopDaemon::ShopDaemon(Shop& shop, std::string store, std::vector<std::string> sets)
    : shop_(shop), store_(std::move(store)), sets_(std::move(sets)) {}

void ShopDaemon::start(const std::map<std::string, std::string>& environment) {
  process_.reset();  // the old one holds the store and the port
  process_ = std::make_unique<ChildProcess>(
      shop_.command("run", store_, sets_, !environment.empty()), shop_.log(store_), environment);
}

void ShopDaemon::kill() {
  if (!process_) return;
  process_->signal(SIGKILL);
  EXPECT_TRUE(process_->wait(30).has_value());
}

int ShopDaemon::stop() {
  process_->signal(SIGTERM);
  return process_->wait(60).value_or(-1);
}

bool ShopDaemon::wait_ready(double seconds) {
  const auto deadline = steady_clock::now() + std::chrono::duration<double>(seconds);
  while (steady_clock::now() < deadline) {
    try {
      if (fetch(shop_.port(), http_request("GET", "/readyz", "", "Connection: close\r\n")).status ==
          200) {
        return true;
      }
    } catch (const std::runtime_error&) {
    }
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

bool ShopDaemon::wait_taken(std::uint64_t events, double seconds) {
  auto deadline = steady_clock::now() + std::chrono::duration<double>(seconds);
  double taken = -1;
  if (!is_up()) start();
  while (is_up() && steady_clock::now() < deadline) {
    const Metrics metrics = scrape(shop_.port());
    const double now = metrics.empty() ? taken : metrics.at("millrace_events_taken_total");
    if (now > taken) deadline = steady_clock::now() + std::chrono::duration<double>(seconds);
    taken = now;
    if (taken >= static_cast<double>(events)) return true;
    std::this_thread::sleep_for(50ms);
  }
  ADD_FAILURE() << taken << " of " << events << " events were taken\n" << log();
  return false;
}

std::string ShopDaemon::log() const {
  const std::string text = read_file(shop_.log(store_));
  return text.size() > 8000 ? "…" + text.substr(text.size() - 8000) : text;
}

}  // namespace millrace
