#include "ingest/source/kafka_source.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_fetcher_inner.h"
#include "ingest/source/kafka_plan_inner.h"
#include "ingest/source/kafka_positions.h"
#include "ingest/source/kafka_resume.h"
#include "ingest/source/kafka_watch_inner.h"
#include "learner/base/check.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kConfirmMs = 1000;
constexpr Duration kStartStep{50};
constexpr std::string_view kPositions = "kafka_positions";
constexpr std::string_view kMarks = "kafka_marks";
constexpr std::string_view kLosses = "kafka_losses";

}  // namespace

struct KafkaSource::Parts {
  Parts(KafkaSourceConfig given, KafkaPlan planned)
      : config(std::move(given)),
        plan(std::move(planned)),
        wake([this] { wake_up(); }),
        fetcher(plan.properties, config.options.prefetch.value, config.log, wake) {}

  const KafkaSourceConfig config;
  const KafkaPlan plan;

  // Between other threads and ours.
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;  // under the mutex
  std::atomic<bool> has_news{false};
  const std::function<void()> wake;

  // Why an input is not to be read on, as soon as no head of it is out.
  enum class Doubt : std::uint8_t { kNone, kMayBeAnother, kVanished };

  // Of the last commit.
  KafkaPositions stored;
  KafkaMarks stored_marks;
  KafkaLosses losses;
  bool begun = false;  // the broker has answered for all topics
  std::vector<Input> inputs;
  std::vector<std::optional<RecordMark>> anchors;  // of each input
  std::vector<Doubt> doubts;                       // of each input
  std::map<PartitionKey, std::size_t> index;
  // The broker is asked by another client than the one that reads, which may be replaced.
  std::shared_ptr<KafkaClient> control;
  std::unique_ptr<KafkaWatch> watch;
  KafkaFetcher fetcher;

  std::uint64_t failed_publications = 0;
  bool publishing = false;
  std::map<PartitionKey, std::int64_t> published;
  std::optional<Clock::time_point> silent_since;
  std::uint64_t batches_seen = 0;

  void wake_up() {
    std::lock_guard lock(mutex);
    awake = true;
    woken.notify_one();
  }
  bool sleep(Duration timeout) {
    std::unique_lock lock(mutex);
    const bool was_woken = woken.wait_for(lock, timeout, [&] { return awake; });
    awake = false;
    return was_woken;
  }
  void log(std::string_view level, const std::string& message) const {
    if (config.log) config.log(level, "kafka: " + message);
  }

  void open();
  void take_news();
  std::size_t welcome(const KafkaWatch::Found& found);
  bool place(std::size_t input, const KafkaWatch::Found& found);
  void settle(std::size_t input, const Resumption& resumption);
  void stop_and_ask(std::size_t input);
  void doubt_topic(const std::string& topic);
  void take_check(const KafkaWatch::Checked& checked);
  void take_vanished(const PartitionKey& key);
  void resolve_doubt(std::size_t input);
  void note_stored();
  PartitionKey key_of(std::size_t input) const {
    return {inputs[input].topic, inputs[input].partition};
  }
  PartitionMarks marks_of(std::size_t input) { return {fetcher[input].mark(), anchors[input]}; }
  std::map<PartitionKey, PartitionMarks> remembered() const;
  std::int64_t start_of(const KafkaWatch::Found& found) const;
  void deal_with(std::size_t input, const KafkaPartition::Trouble& trouble);
  void watch_silence();
  void serve();
  std::string silence(Duration patience) const;
};

void KafkaSource::Parts::open() {
  control = open_consumer(plan.properties, config.log);
  control->on_commit([this](rd_kafka_resp_err_t error) {
    publishing = false;
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET) ++failed_publications;
  });
  watch = std::make_unique<KafkaWatch>(
      control, KafkaReread(plan.properties, config.log),
      KafkaWatch::Options{config.topics, plan.moment, config.options.check_every, remembered()},
      [this] {
        has_news.store(true, std::memory_order_release);
        wake_up();
      });
}

std::map<PartitionKey, PartitionMarks> KafkaSource::Parts::remembered() const {
  std::map<PartitionKey, PartitionMarks> all;
  for (const auto& [key, position] : stored.all()) {
    if (position > 0) all[key] = stored_marks.find(key);
  }
  return all;
}

// Everything that the watch found: new partitions, and bounds of those that are to be placed.
void KafkaSource::Parts::take_news() {
  if (!has_news.exchange(false, std::memory_order_acq_rel)) return;
  const KafkaWatch::News news = watch->news();
  if (!news.refused.empty()) throw SourceError("kafka: " + news.refused);
  for (const std::string& topic : news.missing) {
    log("warning", "topic " + topic + " does not exist" +
                       (config.to_present_ends ? "; taken as empty" : " yet; waiting for it"));
    doubt_topic(topic);
  }
  for (const PartitionKey& key : news.vanished) take_vanished(key);
  for (const KafkaWatch::Checked& checked : news.checked) take_check(checked);
  std::vector<std::size_t> placed;
  for (const KafkaWatch::Found& found : news.found) {
    const std::size_t input = welcome(found);
    if (found.bounds && place(input, found)) placed.push_back(input);
  }
  if (!placed.empty()) fetcher.read(placed);
}

std::size_t KafkaSource::Parts::welcome(const KafkaWatch::Found& found) {
  const PartitionKey key{found.topic, found.partition};
  const auto [known, is_new] = index.insert({key, inputs.size()});
  if (is_new) {
    inputs.push_back({found.topic, found.partition, {}});
    fetcher.add(found.topic, found.partition);
    anchors.emplace_back();
    doubts.push_back(Doubt::kNone);
    if (!found.from_the_start) log("info", "new: " + partition_name(key));
  }
  return known->second;
}

std::int64_t KafkaSource::Parts::start_of(const KafkaWatch::Found& found) const {
  if (!stored.is_new() || !found.from_the_start || plan.start == KafkaPlan::Start::kEarliest) {
    return found.bounds->evidence.low;
  }
  if (plan.start == KafkaPlan::Start::kLatest) return found.bounds->evidence.high;
  return found.bounds->at_moment.value_or(found.bounds->evidence.high);
}

// A partition that is not read yet, or no more. False where its bounds were asked for before the
// last record was taken.

bool KafkaSource::Parts::place(std::size_t input, const KafkaWatch::Found& found) {
  KafkaPartition& partition = fetcher[input];
  const PartitionKey key = key_of(input);
  const PartitionEvidence& evidence = found.bounds->evidence;
  std::int64_t position = partition.position();
  if (position < 0) {
    position = stored.find(key).value_or(-1);
    partition.set_mark(stored_marks.find(key).last);
    anchors[input] = stored_marks.find(key).anchor;
  }
  if (position < 0) {
    partition.set_position(start_of(found));
  } else if (marks_of(input) != evidence.marks) {
    watch->ask_again(key, marks_of(input));
    return false;
  } else {
    settle(input, resume(key, position, evidence, config.options.on_lost));
  }
  partition.heard_end(evidence.high);
  if (config.to_present_ends) partition.stop_at(evidence.high);
  return true;
}

void KafkaSource::Parts::settle(std::size_t input, const Resumption& resumption) {
  fetcher[input].set_position(resumption.position);
  fetcher[input].set_mark(resumption.marks.last);
  anchors[input] = resumption.marks.anchor;
  if (resumption.lost) losses.add(*resumption.lost);
  if (!resumption.message.empty()) log("warning", resumption.message);
}

void KafkaSource::Parts::stop_and_ask(std::size_t input) {
  if (fetcher[input].is_read()) fetcher.stop(input);
  watch->ask_again(key_of(input), marks_of(input));
}

// The topic is gone. Should one of its name come back, nothing is read from it on trust.
void KafkaSource::Parts::doubt_topic(const std::string& topic) {
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    if (inputs[input].topic == topic && fetcher[input].is_read())
      doubts[input] = Doubt::kMayBeAnother;
  }
}

// What was read up to the last commit but one is what the broker has. If not, the partition is
// asked about once more, when it stands still.
void KafkaSource::Parts::take_check(const KafkaWatch::Checked& checked) {
  const auto known = index.find(checked.key);
  if (known == index.end() || !fetcher[known->second].is_read()) return;
  const std::size_t input = known->second;
  // It has gone on since.
  const std::int64_t position = std::min(fetcher[input].position(), checked.evidence.high);
  if (is_unchanged(position, checked.evidence)) {
    anchors[input] = checked.evidence.marks.last;
  } else {
    doubts[input] = Doubt::kMayBeAnother;
  }
}

void KafkaSource::Parts::take_vanished(const PartitionKey& key) {
  const auto known = index.find(key);
  if (known != index.end()) {
    doubts[known->second] = Doubt::kVanished;
    return;
  }
  const Resumption resumption =
      resume_vanished(key, stored.find(key).value_or(0), config.options.on_lost);
  stored.set(key, resumption.position);
  stored_marks.set(key, resumption.marks);
  if (resumption.lost) losses.add(*resumption.lost);
  log("warning", resumption.message);
}

// Called when no head of this input is out.
void KafkaSource::Parts::resolve_doubt(std::size_t input) {
  if (std::exchange(doubts[input], Doubt::kNone) == Doubt::kMayBeAnother) {
    stop_and_ask(input);
    return;
  }
  if (fetcher[input].is_read()) fetcher.stop(input);
  settle(input, resume_vanished(key_of(input), fetcher[input].position(), config.options.on_lost));
}

void KafkaSource::Parts::deal_with(std::size_t input, const KafkaPartition::Trouble& trouble) {
  const std::string where = partition_name({inputs[input].topic, inputs[input].partition});
  switch (trouble.error) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      // Retention passed us, or the log was cut: its bounds tell which.
      log("warning", where + ": " + trouble.text);
      stop_and_ask(input);
      return;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      throw SourceError("kafka: " + where + ", offset " +
                        std::to_string(fetcher[input].position()) + ": " + trouble.text);
    default:
      log("warning", where + ": " + trouble.text);
  }
}

std::string KafkaSource::Parts::silence(Duration patience) const {
  std::string complaint = control->last_complaint();
  if (complaint.empty() && fetcher.client()) complaint = fetcher.client()->last_complaint();
  return "the broker at " + config.options.brokers + " did not answer for " +
         print_duration(patience) + (complaint.empty() ? "" : " (" + complaint + ")");
}

// `replay` ends when the broker is gone: nothing came while something is waited for.
void KafkaSource::Parts::watch_silence() {
  std::uint64_t batches = 0;
  bool waits = false;
  for (std::size_t input = 0; input < fetcher.size(); ++input) {
    batches += fetcher[input].batches();
    waits = waits || !fetcher[input].is_done();
  }
  if (batches != batches_seen || !waits) silent_since.reset();
  batches_seen = batches;
  if (!waits) return;
  if (!silent_since) silent_since = Clock::now();
  if (Clock::now() - *silent_since >= config.replay_patience) {
    throw SourceError("kafka: " + silence(config.replay_patience));
  }
}

// librdkafka's events that are no records: results of commits, errors of no partition.
void KafkaSource::Parts::serve() {
  for (const KafkaClient* client :
       {static_cast<const KafkaClient*>(control.get()), fetcher.client()}) {
    if (client == nullptr) continue;
    rd_kafka_message_t* message = rd_kafka_consumer_poll(client->get(), 0);
    if (message == nullptr) continue;
    MILLRACE_CHECK(message->err);  // records go to their partitions' queues
    log("warning", rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
  }
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::make(const KafkaSourceConfig& config) {
  auto plan = KafkaPlan::make(config);
  if (!plan) return plan.error();
  return std::unique_ptr<KafkaSource>(
      new KafkaSource(std::make_unique<Parts>(config, std::move(plan).value())));
}

KafkaSource::KafkaSource(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
KafkaSource::~KafkaSource() = default;

void KafkaSource::start() {
  Parts& parts = *parts_;
  MILLRACE_CHECK(!parts.control);
  parts.open();
  const KafkaSourceConfig& config = parts.config;
  const Duration patience = config.to_present_ends ? config.replay_patience : config.start_patience;
  const Clock::time_point deadline = Clock::now() + patience;
  while (true) {
    // Asked first: the news that makes it complete is then there to be taken.
    const bool complete = parts.watch->is_complete();
    parts.take_news();
    if (complete) {
      parts.begun = true;
      return;
    }
    parts.serve();
    if (Clock::now() >= deadline || (config.stopping && config.stopping())) break;
    parts.sleep(kStartStep);
  }
  if (config.to_present_ends) throw SourceError("kafka: " + parts.silence(patience));
  parts.log("warning", parts.silence(patience) + "; going on without it");
}

const std::vector<Input>& KafkaSource::inputs() const { return parts_->inputs; }

Head KafkaSource::peek(std::size_t input, Record& record) {
  Parts& parts = *parts_;
  if (parts.has_news.load(std::memory_order_relaxed)) parts.take_news();
  if (parts.doubts[input] != Parts::Doubt::kNone) parts.resolve_doubt(input);
  std::optional<KafkaPartition::Trouble> trouble;
  Head head = parts.fetcher[input].peek(record, trouble);
  while (trouble) {
    parts.deal_with(input, *std::exchange(trouble, std::nullopt));
    head = parts.fetcher[input].peek(record, trouble);
  }
  return head;
}

void KafkaSource::take(std::size_t input) { parts_->fetcher[input].take(); }

std::int64_t KafkaSource::position(std::size_t input) const {
  const std::int64_t position = parts_->fetcher[input].position();
  if (position >= 0) return position;
  const Input& of = parts_->inputs[input];
  return parts_->stored.find({of.topic, of.partition}).value_or(-1);
}

std::vector<Header> KafkaSource::headers(std::size_t input) {
  std::vector<Header> all;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(parts_->fetcher[input].head(), &headers)) return all;
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
  // Should a wake-up ever be lost, looking again bounds what it costs.
  if (!parts.sleep(timeout)) {
    for (std::size_t input = 0; input < parts.fetcher.size(); ++input) {
      parts.fetcher[input].look_again();
    }
  }
  parts.serve();
  parts.begun = parts.begun || (parts.watch && parts.watch->is_complete());
  parts.take_news();
  if (parts.config.to_present_ends) parts.watch_silence();
}

bool KafkaSource::confirm_ends() {
  Parts& parts = *parts_;
  parts.serve();
  parts.take_news();
  if (!parts.watch || !parts.watch->is_complete()) return false;
  std::set<PartitionKey> keys;
  for (const auto& [key, input] : parts.index) keys.insert(key);
  std::map<PartitionKey, std::int64_t> ends;
  if (!keys.empty()) ends = list_offsets(*parts.control, keys, RD_KAFKA_OFFSET_END, kConfirmMs);
  for (const auto& [key, input] : parts.index) {
    const auto end = ends.find(key);
    if (end == ends.end()) return false;
    // What came meanwhile is seen first, be it only that the end is reached.
    Record record;
    parts.fetcher[input].look_again();
    if (peek(input, record) != Head::kAtEnd) return false;
    const KafkaPartition& partition = parts.fetcher[input];
    if (!partition.is_done() && partition.position() < end->second) return false;
  }
  return true;
}

void KafkaSource::publish_positions() {
  Parts& parts = *parts_;
  if (!parts.control) return;
  parts.serve();
  if (parts.publishing) return;
  std::map<PartitionKey, std::int64_t> positions;
  for (const auto& [key, input] : parts.index) {
    const std::int64_t position = parts.fetcher[input].position();
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
std::int64_t KafkaSource::lag(std::size_t input) const { return parts_->fetcher[input].lag(); }
const KafkaLosses& KafkaSource::losses() const { return parts_->losses; }

// The positions and marks of now, into what is stored.
void KafkaSource::Parts::note_stored() {
  std::map<PartitionKey, PartitionMarks> marks;
  for (const auto& [key, input] : index) {
    const std::int64_t position = fetcher[input].position();
    if (position < 0) continue;
    stored.set(key, position);
    if (!anchors[input]) anchors[input] = fetcher[input].mark();
    stored_marks.set(key, marks_of(input));
    if (fetcher[input].is_read()) marks[key] = marks_of(input);
  }
  if (watch) watch->remember(marks);
}

StateChanges KafkaSource::save(std::uint64_t, std::span<const Cleaning>) {
  Parts& parts = *parts_;
  parts.note_stored();
  StateChanges changes;
  // A commit before the start leaves the store new, so that `kafka.start` still holds.
  if (!parts.begun && parts.stored.is_empty() && parts.stored.is_new()) return changes;
  auto add = [&](std::string_view name, std::string bytes) {
    changes.values.push_back({std::string(name), std::move(bytes), /*in_digest=*/false});
  };
  add(kPositions, parts.stored.save());
  add(kMarks, parts.stored_marks.save());
  if (!parts.losses.is_empty()) add(kLosses, parts.losses.save());
  return changes;
}

void KafkaSource::restore_value(std::string_view name, std::string_view bytes) {
  // Others are of files.
  if (name == kPositions) parts_->stored.restore(bytes);
  if (name == kMarks) parts_->stored_marks.restore(bytes);
  if (name == kLosses) parts_->losses.restore(bytes);
}

}  // namespace millrace
