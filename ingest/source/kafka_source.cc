#include "ingest/source/kafka_source.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_partition_inner.h"
#include "ingest/source/kafka_properties.h"
#include "ingest/source/kafka_watch_inner.h"
#include "learner/base/check.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;
using Key = std::pair<std::string, int>;

constexpr std::chrono::seconds kStartPatience{30}, kEndsPatience{60};
constexpr int kConfirmMs = 1000;
constexpr std::string_view kPositions = "kafka_positions";

// Where a new store starts.
enum class Start { kEarliest, kLatest, kMoment };

// What follows from the configuration once it was found good.
struct Plan {
  Start start = Start::kEarliest;
  std::optional<EventTime> moment;
  KafkaClient::Properties properties;
};

std::string name_of(std::string_view topic, int partition) {
  return "topic " + std::string(topic) + ", partition " + std::to_string(partition);
}

KafkaClient::Properties make_properties(const KafkaSourceConfig& config) {
  KafkaClient::Properties all{
      {"client.id", "millrace"},
      {"group.id", config.group},
      {"fetch.wait.max.ms", "50"},  // the end of a partition is said when a fetch ends
      {"fetch.error.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "2000"},
      {"socket.keepalive.enable", "true"},
      {"socket.nagle.disable", "true"},
      {"topic.metadata.refresh.interval.ms", "60000"},
      // Only the size of what is queued counts, not the number of records.
      {"queued.min.messages", "10000000"},
      // One batch may be larger than everything that is asked for.
      {"receive.message.max.bytes", std::to_string(512 << 20)},
  };
  for (const auto& [name, value] : config.options.properties) all[name] = value;
  const KafkaClient::Properties ours{
      {"bootstrap.servers", config.options.brokers},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"isolation.level", "read_committed"},
      {"auto.offset.reset", "error"},
      {"enable.partition.eof", "true"},
      {"check.crcs", "true"},
      {"allow.auto.create.topics", "false"},
  };
  for (const auto& [name, value] : ours) all[name] = value;
  return all;
}

Result<Plan> make_plan(const KafkaSourceConfig& config) {
  Plan plan;
  const std::string& start = config.options.start;
  if (start == "latest") {
    plan.start = Start::kLatest;
  } else if (start != "earliest") {
    plan.start = Start::kMoment;
    plan.moment = parse_rfc3339(start);
    if (!plan.moment) {
      return Error{"kafka.start: \"" + start +
                   "\" is neither earliest, latest nor an RFC 3339 time with an offset"};
    }
  }
  for (const auto& [name, value] : config.options.properties) {
    if (auto reason = why_refused(name, value)) return Error{*reason};
  }
  plan.properties = make_properties(config);
  // librdkafka judges the whole when a client is made; without an address it stays by itself.
  KafkaClient::Properties trial = plan.properties;
  trial.erase("bootstrap.servers");
  const auto client = KafkaClient::open(RD_KAFKA_CONSUMER, trial, nullptr);
  if (!client) return Error{"kafka.properties." + client.error().message};
  return plan;
}

std::shared_ptr<KafkaClient> open_or_throw(const KafkaClient::Properties& properties,
                                           const SourceLog& log) {
  auto client = KafkaClient::open(RD_KAFKA_CONSUMER, properties, log);
  if (!client) throw SourceError("kafka: " + client.error().message);
  return std::move(client).value();
}

}  // namespace

struct KafkaSource::Parts {
  Parts(KafkaSourceConfig config, Plan plan)
      : config(std::move(config)), plan(std::move(plan)), wake([this] { wake_up(); }) {}

  const KafkaSourceConfig config;
  const Plan plan;

  // Between librdkafka's threads and ours.
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;
  std::atomic<bool> has_news{false};
  const std::function<void()> wake;

  std::map<Key, std::int64_t> stored;  // positions of the last commit, of all partitions ever
  bool new_store = true;
  std::vector<Input> inputs;
  std::map<Key, std::size_t> index;
  // Clients outlive what was made of them: the partitions stand last.
  std::shared_ptr<KafkaClient> control;  // asks and commits
  std::shared_ptr<KafkaClient> fetcher;  // reads
  std::int64_t share = 0;                // bytes a partition may queue in `fetcher`
  std::unique_ptr<KafkaWatch> watch;
  KafkaNudge nudge;
  std::vector<std::unique_ptr<KafkaPartition>> partitions;

  std::uint64_t lost_offsets = 0;
  std::uint64_t failed_publications = 0;
  bool publishing = false;
  std::map<Key, std::int64_t> published;
  std::optional<Clock::time_point> silent_since;
  std::uint64_t batches_seen = 0;

  void wake_up() {
    std::lock_guard lock(mutex);
    awake = true;
    woken.notify_one();
  }
  void log(std::string_view level, const std::string& message) const {
    if (config.log) config.log(level, message);
  }

  void open_clients();
  void take_news();
  void place(std::size_t input, const KafkaWatch::Found& found);
  std::int64_t start_of(const KafkaWatch::Found& found) const;
  std::int64_t check_position(const Key& key, std::int64_t position,
                              const KafkaWatch::Bounds& bounds);
  void read(const std::vector<std::size_t>& chosen);
  void assign(const std::vector<std::size_t>& chosen);
  bool make_room(std::size_t partitions_in_all);
  void deal_with(std::size_t input, const KafkaPartition::Trouble& trouble);
  void watch_silence();
  void serve();
  std::string last_complaint() const;
};

// The broker is asked by another client than the one that reads, because the reader is opened anew
// when there are many more partitions than it was made for.
void KafkaSource::Parts::open_clients() {
  control = open_or_throw(plan.properties, config.log);
  control->on_commit([this](rd_kafka_resp_err_t error) {
    publishing = false;
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET) ++failed_publications;
  });
  watch = std::make_unique<KafkaWatch>(
      control, KafkaWatch::Options{config.topics, plan.moment, config.discover_every}, [this] {
        has_news.store(true, std::memory_order_release);
        wake_up();
      });
}

// Everything that the watch found: new partitions, and bounds of those that are to be placed.
void KafkaSource::Parts::take_news() {
  if (!has_news.exchange(false, std::memory_order_acq_rel)) return;
  const KafkaWatch::News news = watch->news();
  if (!news.refused.empty()) throw SourceError("kafka: " + news.refused);
  for (const std::string& topic : news.missing) {
    log("warn", "kafka: topic " + topic + " does not exist" +
                    (config.to_present_ends ? "; taken as empty" : " yet; waiting for it"));
  }
  std::vector<std::size_t> placed;
  for (const KafkaWatch::Found& found : news.found) {
    const Key key{found.topic, found.partition};
    const auto [known, is_new] = index.insert({key, inputs.size()});
    if (is_new) {
      inputs.push_back({found.topic, found.partition, {}});
      partitions.push_back(
          std::make_unique<KafkaPartition>(found.topic, found.partition, wake, nudge));
      if (!found.from_the_start) {
        log("info", "kafka: new " + name_of(found.topic, found.partition));
      }
    }
    if (!found.bounds) continue;
    place(known->second, found);
    placed.push_back(known->second);
  }
  if (!placed.empty()) read(placed);
}

std::int64_t KafkaSource::Parts::start_of(const KafkaWatch::Found& found) const {
  if (!new_store || !found.from_the_start || plan.start == Start::kEarliest) {
    return found.bounds->low;
  }
  if (plan.start == Start::kLatest) return found.bounds->high;
  return found.bounds->at_moment.value_or(found.bounds->high);
}

void KafkaSource::Parts::place(std::size_t input, const KafkaWatch::Found& found) {
  KafkaPartition& partition = *partitions[input];
  const Key key{found.topic, found.partition};
  const auto known = stored.find(key);
  std::int64_t position = partition.position();
  if (position < 0 && known != stored.end()) position = known->second;
  position = position < 0 ? start_of(found) : check_position(key, position, *found.bounds);
  partition.set_position(position);
  partition.heard_end(found.bounds->high);
  if (config.to_present_ends) partition.stop_at(found.bounds->high);
}

// Where to go on from a stored position; throws where the policy is `fail` and records are lost.
std::int64_t KafkaSource::Parts::check_position(const Key& key, std::int64_t position,
                                                const KafkaWatch::Bounds& bounds) {
  const auto [low, high] = std::pair(bounds.low, bounds.high);
  if (low <= position && position <= high) return position;
  const std::string where = name_of(key.first, key.second) + ": the stored offset " +
                            std::to_string(position) + " is not there; the broker has " +
                            std::to_string(low) + " to " + std::to_string(high);
  const bool before = position < low;
  if (config.options.on_lost == OnLost::kFail) {
    throw SourceError(
        where +
        (before ? ": " + std::to_string(low - position) + " offsets are lost by retention"
                : ": the topic was made anew or cut") +
        "; set kafka.on_lost: skip to go on without them");
  }
  const std::uint64_t lost = static_cast<std::uint64_t>(before ? low - position : position - high);
  lost_offsets += lost;
  log("warn", where + "; skipped offsets " + std::to_string(before ? position : high) + " to " +
                  std::to_string((before ? low : position) - 1) + " (" + std::to_string(lost) +
                  " are lost), going on at " + std::to_string(low));
  return low;
}

// A reader whose share of the budget is too large for that many partitions is replaced; what was
// taken out of its queues stays, the rest is fetched again.
bool KafkaSource::Parts::make_room(std::size_t partitions_in_all) {
  const auto count = static_cast<std::int64_t>(std::max<std::size_t>(1, partitions_in_all));
  const std::int64_t fair = std::max<std::int64_t>(1024, config.options.prefetch.value / 2 / count);
  if (fetcher && share <= fair + fair / 4) return false;
  share = fair;
  KafkaClient::Properties properties = plan.properties;
  properties["queued.max.messages.kbytes"] = std::to_string(std::max<std::int64_t>(1, fair / 1024));
  const std::int64_t fetch = std::clamp<std::int64_t>(fair / 4, 16 << 10, 4 << 20);
  properties.insert({"fetch.message.max.bytes", std::to_string(fetch)});
  fetcher = open_or_throw(properties, config.log);
  return true;
}

void KafkaSource::Parts::read(const std::vector<std::size_t>& chosen) {
  const std::set<std::size_t> fresh(chosen.begin(), chosen.end());
  std::vector<std::size_t> to_assign;
  const bool replaced = make_room(partitions.size());
  for (std::size_t input = 0; input < partitions.size(); ++input) {
    KafkaPartition& partition = *partitions[input];
    if (fresh.contains(input)) {
      if (partition.is_done()) continue;
      partition.read_from(fetcher, partition.position(), false);
    } else if (replaced && partition.is_read()) {
      partition.read_from(fetcher, partition.next_fetch(), true);
    } else {
      continue;
    }
    to_assign.push_back(input);
  }
  if (!to_assign.empty()) assign(to_assign);
}

void KafkaSource::Parts::assign(const std::vector<std::size_t>& chosen) {
  const TopicPartitionList list = make_partition_list(chosen.size());
  for (const std::size_t input : chosen) {
    rd_kafka_topic_partition_list_add(list.get(), inputs[input].topic.c_str(),
                                      inputs[input].partition)
        ->offset = partitions[input]->next_fetch();
  }
  if (rd_kafka_error_t* error = rd_kafka_incremental_assign(fetcher->get(), list.get())) {
    const std::string text = rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
    throw SourceError("kafka: cannot assign partitions: " + text);
  }
}

void KafkaSource::Parts::deal_with(std::size_t input, const KafkaPartition::Trouble& trouble) {
  const std::string where = name_of(inputs[input].topic, inputs[input].partition);
  switch (trouble.error) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: {
      // Too late for retention, or the log was cut: its bounds tell which.
      log("warn", "kafka: " + where + ": " + trouble.text);
      const TopicPartitionList list = make_partition_list(1);
      rd_kafka_topic_partition_list_add(list.get(), inputs[input].topic.c_str(),
                                        inputs[input].partition);
      if (auto* error = rd_kafka_incremental_unassign(fetcher->get(), list.get())) {
        rd_kafka_error_destroy(error);
      }
      partitions[input]->stop_reading();
      watch->ask_again(inputs[input].topic, inputs[input].partition);
      return;
    }
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      throw SourceError("kafka: " + where + ", offset " +
                        std::to_string(partitions[input]->position()) + ": " + trouble.text);
    default:
      log("warn", "kafka: " + where + ": " + trouble.text);
  }
}

std::string KafkaSource::Parts::last_complaint() const {
  std::string text = control->last_complaint();
  if (text.empty() && fetcher) text = fetcher->last_complaint();
  return text.empty() ? "" : " (" + text + ")";
}

// `replay` ends when the broker is gone: nothing came while something is waited for.
void KafkaSource::Parts::watch_silence() {
  std::uint64_t batches = 0;
  bool waits = false;
  for (const auto& partition : partitions) {
    batches += partition->batches();
    waits = waits || !partition->is_done();
  }
  if (batches != batches_seen || !waits) silent_since.reset();
  batches_seen = batches;
  if (!waits) return;
  if (!silent_since) silent_since = Clock::now();
  if (Clock::now() - *silent_since >= kEndsPatience) {
    throw SourceError("kafka: the broker at " + config.options.brokers +
                      " did not answer for 60 s" + last_complaint());
  }
}

// librdkafka's events that are no records: results of commits, errors of no partition.
void KafkaSource::Parts::serve() {
  for (const auto& client : {control, fetcher}) {
    if (!client) continue;
    rd_kafka_message_t* message = rd_kafka_consumer_poll(client->get(), 0);
    if (message == nullptr) continue;
    MILLRACE_CHECK(message->err);
    log("warn", std::string("kafka: ") + rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
  }
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::make(const KafkaSourceConfig& config) {
  auto plan = make_plan(config);
  if (!plan) return plan.error();
  return std::unique_ptr<KafkaSource>(
      new KafkaSource(std::make_unique<Parts>(config, std::move(plan).value())));
}

KafkaSource::KafkaSource(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
KafkaSource::~KafkaSource() = default;

void KafkaSource::start() {
  Parts& parts = *parts_;
  parts.open_clients();
  const Clock::time_point begin = Clock::now();
  const auto patience = parts.config.to_present_ends ? kEndsPatience : kStartPatience;
  while (true) {
    // Complete first: news that makes it so is then there to be taken.
    const bool complete = parts.watch->is_complete();
    parts.take_news();
    if (complete) return;
    parts.serve();
    if (Clock::now() - begin >= patience) break;
    std::unique_lock lock(parts.mutex);
    parts.woken.wait_for(lock, std::chrono::milliseconds(50), [&] { return parts.awake; });
    parts.awake = false;
  }
  const std::string problem = "the broker at " + parts.config.options.brokers +
                              " did not answer for " + std::to_string(patience.count()) + " s" +
                              parts.last_complaint();
  if (parts.config.to_present_ends) throw SourceError("kafka: " + problem);
  parts.log("warn", "kafka: " + problem + "; going on without it");
}

const std::vector<Input>& KafkaSource::inputs() const { return parts_->inputs; }

Head KafkaSource::peek(std::size_t input, Record& record) {
  std::optional<KafkaPartition::Trouble> trouble;
  Head head = parts_->partitions[input]->peek(record, trouble);
  while (trouble) {
    parts_->deal_with(input, *std::exchange(trouble, std::nullopt));
    head = parts_->partitions[input]->peek(record, trouble);
  }
  return head;
}

void KafkaSource::take(std::size_t input) { parts_->partitions[input]->take(); }

std::int64_t KafkaSource::position(std::size_t input) const {
  const std::int64_t position = parts_->partitions[input]->position();
  if (position >= 0) return position;
  const Input& of = parts_->inputs[input];
  const auto known = parts_->stored.find({of.topic, of.partition});
  return known == parts_->stored.end() ? -1 : known->second;
}

std::vector<Header> KafkaSource::headers(std::size_t input) {
  std::vector<Header> all;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(parts_->partitions[input]->head(), &headers)) return all;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); ++i) {
    all.push_back({name, std::nullopt});
    if (value != nullptr) all.back().value.emplace(static_cast<const char*>(value), size);
  }
  return all;
}

void KafkaSource::wait(Duration timeout) {
  Parts& parts = *parts_;
  parts.take_news();
  bool woken = false;
  {
    std::unique_lock lock(parts.mutex);
    woken = parts.woken.wait_for(lock, timeout, [&] { return parts.awake; });
    parts.awake = false;
  }
  // Should a wake-up ever be lost, this bounds what it costs.
  if (!woken) {
    for (const auto& partition : parts.partitions) partition->look_again();
  }
  parts.serve();
  parts.take_news();
  if (parts.config.to_present_ends) parts.watch_silence();
}

bool KafkaSource::confirm_ends() {
  Parts& parts = *parts_;
  parts.serve();
  parts.take_news();
  if (!parts.watch || !parts.watch->is_complete()) return false;
  std::set<Key> keys;
  for (const auto& [key, input] : parts.index) keys.insert(key);
  std::map<Key, std::int64_t> ends;
  if (!keys.empty()) ends = list_offsets(*parts.control, keys, RD_KAFKA_OFFSET_END, kConfirmMs);
  Record record;
  for (const auto& [key, input] : parts.index) {
    KafkaPartition& partition = *parts.partitions[input];
    const auto end = ends.find(key);
    if (end == ends.end()) return false;
    partition.look_again();
    if (peek(input, record) != Head::kAtEnd) return false;
    if (!partition.is_done() && partition.position() < end->second) return false;
  }
  return true;
}

void KafkaSource::publish_positions() {
  Parts& parts = *parts_;
  if (!parts.control || parts.publishing) return;
  std::map<Key, std::int64_t> positions;
  for (const auto& [key, input] : parts.index) {
    const std::int64_t position = parts.partitions[input]->position();
    if (position >= 0) positions[key] = position;
  }
  if (positions.empty() || positions == parts.published) return;
  const TopicPartitionList list = make_partition_list(positions.size());
  for (const auto& [key, position] : positions) {
    rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = position;
  }
  if (rd_kafka_commit(parts.control->get(), list.get(), /*async=*/1)) {
    ++parts.failed_publications;
    return;
  }
  parts.publishing = true;
  parts.published = std::move(positions);
}

std::uint64_t KafkaSource::failed_publications() const { return parts_->failed_publications; }
std::int64_t KafkaSource::lag(std::size_t input) const { return parts_->partitions[input]->lag(); }
std::uint64_t KafkaSource::lost_offsets() const { return parts_->lost_offsets; }

// Partitions that are not configured or not there now keep their place.
StateChanges KafkaSource::save(std::uint64_t, std::span<const Cleaning>) {
  for (const auto& [key, input] : parts_->index) {
    const std::int64_t position = parts_->partitions[input]->position();
    if (position >= 0) parts_->stored[key] = position;
  }
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(parts_->stored.size()));
  for (const auto& [key, position] : parts_->stored) {
    writer.put_text(key.first);
    writer.put(static_cast<std::int32_t>(key.second));
    writer.put(position);
  }
  StateChanges changes;
  changes.values.push_back({std::string(kPositions), writer.take(), /*in_digest=*/false});
  return changes;
}

void KafkaSource::restore_value(std::string_view name, std::string_view bytes) {
  if (name != kPositions) return;  // of files, which another class reads
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string topic(reader.get_text());
    const auto partition = reader.get<std::int32_t>();
    parts_->stored[{topic, partition}] = reader.get<std::int64_t>();
  }
  parts_->new_store = false;
}

}  // namespace millrace
