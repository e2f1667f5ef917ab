#include "ingest/sink/kafka_dead_letters.h"

#include <chrono>
#include <utility>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_properties.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPollEvery{1}, kRetryAfter{1000};
constexpr std::size_t kMaxBytes = 64 << 20;
constexpr std::size_t kCutTo = 64 << 10;
constexpr std::string_view kOutbox = "outbox";
constexpr const char* kPrefix = "__millrace.errors.";

// A letter as it is sent: everything of it is bytes by now.
struct Letter {
  std::optional<std::string> payload, key;
  std::vector<Header> headers;
  bool under_way = false;
  bool cut = false;

  std::size_t bytes() const {
    std::size_t sum = (payload ? payload->size() : 0) + (key ? key->size() : 0) + 64;
    for (const Header& header : headers) {
      sum += header.name.size() + (header.value ? header.value->size() : 0);
    }
    return sum;
  }
};

void put_optional(ByteWriter& writer, const std::optional<std::string>& text) {
  writer.put(static_cast<std::uint8_t>(text ? 1 : 0));
  if (text) writer.put_text(*text);
}

std::optional<std::string> get_optional(ByteReader& reader) {
  if (reader.get<std::uint8_t>() == 0) return std::nullopt;
  return std::string(reader.get_text());
}

void put_letter(ByteWriter& writer, const Letter& letter) {
  put_optional(writer, letter.payload);
  put_optional(writer, letter.key);
  writer.put(static_cast<std::uint32_t>(letter.headers.size()));
  for (const Header& header : letter.headers) {
    writer.put_text(header.name);
    put_optional(writer, header.value);
  }
}

Letter get_letter(ByteReader& reader) {
  Letter letter;
  letter.payload = get_optional(reader);
  letter.key = get_optional(reader);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string name(reader.get_text());
    letter.headers.push_back({std::move(name), get_optional(reader)});
  }
  return letter;
}

// As librdkafka takes them: what is absent has a null pointer.
std::pair<void*, std::size_t> bytes_of(std::optional<std::string>& text) {
  if (!text) return {nullptr, 0};
  std::string& there = *text;
  return {there.data(), there.size()};
}

Letter seal(DeadLetter&& from) {
  Letter letter{std::move(from.payload), std::move(from.key), std::move(from.headers), false,
                false};
  auto note = [&](const char* name, std::string value) {
    letter.headers.push_back({std::string(kPrefix) + name, std::move(value)});
  };
  const Reason reason = from.rejection.reason;
  note("topic", from.input.path.empty() ? from.input.topic : from.input.path);
  note("partition", std::to_string(from.input.partition));
  note("offset", std::to_string(from.offset));
  note("stage", reason == Reason::kTimeInFuture ? "merge" : "decode");
  note("reason", std::string(to_string(reason)));
  note("message", std::move(from.rejection.message));
  return letter;
}

KafkaClient::Properties make_properties(const KafkaDeadLettersConfig& config) {
  KafkaClient::Properties all{
      {"client.id", "millrace"},
      {"linger.ms", "5"},
      {"reconnect.backoff.max.ms", "2000"},
      // The outbox is the limit, and the broker judges the size.
      {"queue.buffering.max.messages", "10000000"},
      {"queue.buffering.max.kbytes", "1048576"},
      {"message.max.bytes", "100000000"},
  };
  for (const auto& [name, value] : config.properties) {
    if (!why_refused(name, value)) all[name] = value;
  }
  all.erase("transactional.id");
  all["bootstrap.servers"] = config.brokers;
  all["enable.idempotence"] = "true";
  all["message.timeout.ms"] = "0";  // the outbox never gives up
  return all;
}

}  // namespace

struct KafkaDeadLetters::Parts {
  explicit Parts(KafkaDeadLettersConfig config) : config(std::move(config)) {}
  ~Parts() {
    if (answers != nullptr) rd_kafka_queue_destroy(answers);
  }

  const KafkaDeadLettersConfig config;
  std::unique_ptr<KafkaClient> client;
  rd_kafka_queue_t* answers = nullptr;  // to the request that creates the topic
  bool topic_requested = false;
  std::map<std::uint64_t, Letter> outbox;
  std::uint64_t next_id = 1;
  std::size_t bytes = 0;
  bool changed = false;  // since the last save
  Clock::time_point next_poll{}, next_retry{};
  bool retries = false;  // some letter is not under way
  DeadLetterProbe probe;

  void open();
  void request_topic();
  void read_answer();
  void send(std::uint64_t id, Letter& letter);
  void delivered(const rd_kafka_message_t& message);
  void keep(Letter letter);
  void poll(int timeout_ms);
  bool is_full() const {
    return outbox.size() >= static_cast<std::size_t>(config.options.outbox) || bytes >= kMaxBytes;
  }
  void log(std::string_view level, const std::string& message) const {
    if (config.log) config.log(level, message);
  }
};

void KafkaDeadLetters::Parts::open() {
  auto opened = KafkaClient::open(RD_KAFKA_PRODUCER, make_properties(config), config.log);
  if (!opened) throw SourceError("dead letters: " + opened.error().message);
  client = std::move(opened).value();
  client->on_delivery([this](const rd_kafka_message_t& message) { delivered(message); });
}

// A broker that creates no topics by itself would leave all letters in the outbox. Nobody waits for
// the answer: where we may not, the topic may be there nevertheless.
void KafkaDeadLetters::Parts::request_topic() {
  topic_requested = true;
  char problem[256];
  rd_kafka_NewTopic_t* topic =
      rd_kafka_NewTopic_new(config.options.topic.c_str(), -1, -1, problem, sizeof problem);
  if (topic == nullptr) {
    log("warning", "dead letters: topic " + config.options.topic + ": " + problem);
    return;
  }
  // Records that are too large for us are letters too.
  rd_kafka_NewTopic_set_config(topic, "max.message.bytes", "100000000");
  answers = rd_kafka_queue_new(client->get());
  rd_kafka_CreateTopics(client->get(), &topic, 1, nullptr, answers);
  rd_kafka_NewTopic_destroy(topic);
}

void KafkaDeadLetters::Parts::read_answer() {
  rd_kafka_event_t* event = rd_kafka_queue_poll(answers, 0);
  if (event == nullptr) return;
  std::string problem;
  if (rd_kafka_event_error(event)) {
    problem = rd_kafka_event_error_string(event);
  } else if (const auto* result = rd_kafka_event_CreateTopics_result(event)) {
    std::size_t count = 0;
    const auto** topics = rd_kafka_CreateTopics_result_topics(result, &count);
    const auto error =
        count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) problem = rd_kafka_err2str(error);
  }
  if (!problem.empty()) {
    log("warning",
        "dead letters: topic " + config.options.topic + " cannot be created: " + problem);
  }
  rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(std::exchange(answers, nullptr));
}

void KafkaDeadLetters::Parts::keep(Letter letter) {
  bytes += letter.bytes();
  changed = true;
  const std::uint64_t id = next_id++;
  send(id, outbox.emplace(id, std::move(letter)).first->second);
  probe.waiting.store(outbox.size(), std::memory_order_relaxed);
}

// librdkafka copies the bytes: its threads may still hold them when the outbox is gone.
void KafkaDeadLetters::Parts::send(std::uint64_t id, Letter& letter) {
  if (!client) open();
  if (!topic_requested) request_topic();
  rd_kafka_headers_t* headers = rd_kafka_headers_new(letter.headers.size() + 1);
  for (const Header& header : letter.headers) {
    rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                        header.value ? header.value->data() : nullptr,
                        header.value ? static_cast<ssize_t>(header.value->size()) : 0);
  }
  auto [payload, size] = bytes_of(letter.payload);
  const auto [key, key_size] = bytes_of(letter.key);
  if (letter.cut && size > kCutTo) {
    const std::string whole = std::to_string(size);
    const std::string name = std::string(kPrefix) + "size";
    rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), whole.data(),
                        static_cast<ssize_t>(whole.size()));
    size = kCutTo;
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an opaque number
  void* opaque = reinterpret_cast<void*>(id);
  const auto error = rd_kafka_producev(
      client->get(), RD_KAFKA_V_TOPIC(config.options.topic.c_str()),
      RD_KAFKA_V_PARTITION(RD_KAFKA_PARTITION_UA), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
      RD_KAFKA_V_VALUE(payload, size), RD_KAFKA_V_KEY(key, key_size), RD_KAFKA_V_HEADERS(headers),
      RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
  letter.under_way = !error;
  if (!error) return;
  rd_kafka_headers_destroy(headers);
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) letter.cut = true;
  retries = true;
  next_retry = Clock::now() + kRetryAfter;
}

void KafkaDeadLetters::Parts::delivered(const rd_kafka_message_t& message) {
  const auto found = outbox.find(reinterpret_cast<std::uint64_t>(message._private));
  if (found == outbox.end()) return;
  Letter& letter = found->second;
  if (!message.err) {
    bytes -= letter.bytes();
    outbox.erase(found);
    changed = true;
    probe.delivered.fetch_add(1, std::memory_order_relaxed);
    probe.waiting.store(outbox.size(), std::memory_order_relaxed);
    return;
  }
  if (message.err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) letter.cut = true;
  letter.under_way = false;
  if (!std::exchange(retries, true)) {
    log("warning", "dead letters: topic " + config.options.topic + ": " +
                       rd_kafka_err2str(message.err) + "; trying again");
  }
  next_retry = Clock::now() + kRetryAfter;
  probe.failures.fetch_add(1, std::memory_order_relaxed);
}

void KafkaDeadLetters::Parts::poll(int timeout_ms) {
  rd_kafka_poll(client->get(), timeout_ms);
  if (answers != nullptr) read_answer();
  if (!retries || Clock::now() < next_retry) return;
  // An idempotent producer that lost count never sends again: another one takes over.
  if (rd_kafka_fatal_error(client->get(), nullptr, 0)) {
    if (answers != nullptr) rd_kafka_queue_destroy(std::exchange(answers, nullptr));
    rd_kafka_purge(client->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    client.reset();
    for (auto& [id, letter] : outbox) letter.under_way = false;
  }
  retries = false;
  if (answers == nullptr) topic_requested = false;  // it may have been deleted
  for (auto& [id, letter] : outbox) {
    if (!letter.under_way) send(id, letter);
  }
}

Result<std::unique_ptr<KafkaDeadLetters>> KafkaDeadLetters::make(
    const KafkaDeadLettersConfig& config) {
  KafkaClient::Properties trial = make_properties(config);
  trial.erase("bootstrap.servers");
  const auto client = KafkaClient::open(RD_KAFKA_PRODUCER, trial, nullptr);
  if (!client) return Error{"kafka.properties." + client.error().message};
  return std::unique_ptr<KafkaDeadLetters>(new KafkaDeadLetters(std::make_unique<Parts>(config)));
}

KafkaDeadLetters::KafkaDeadLetters(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

KafkaDeadLetters::~KafkaDeadLetters() = default;

void KafkaDeadLetters::add(DeadLetter letter) { parts_->keep(seal(std::move(letter))); }

bool KafkaDeadLetters::has_room() {
  Parts& parts = *parts_;
  if (parts.outbox.empty()) return true;
  const auto now = Clock::now();
  if (now >= parts.next_poll) {
    parts.next_poll = now + kPollEvery;
    parts.poll(0);
  }
  return !parts.is_full();
}

bool KafkaDeadLetters::flush(Duration timeout) {
  const auto deadline = Clock::now() + timeout;
  while (!parts_->outbox.empty() && Clock::now() < deadline) parts_->poll(5);
  return parts_->outbox.empty();
}

const DeadLetterProbe& KafkaDeadLetters::probe() const { return parts_->probe; }

StateChanges KafkaDeadLetters::save(std::uint64_t, std::span<const Cleaning>) {
  Parts& parts = *parts_;
  StateChanges changes;
  if (!parts.outbox.empty()) parts.poll(0);
  if (!std::exchange(parts.changed, false)) return changes;
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(parts.outbox.size()));
  for (const auto& [id, letter] : parts.outbox) put_letter(writer, letter);
  changes.values.push_back({std::string(kOutbox), writer.take(), /*in_digest=*/false});
  return changes;
}

void KafkaDeadLetters::restore_value(std::string_view name, std::string_view bytes) {
  if (name != kOutbox) throw StateError("dead letters: an unknown value " + std::string(name));
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    Letter letter = get_letter(reader);
    parts_->bytes += letter.bytes();
    parts_->outbox.emplace(parts_->next_id++, std::move(letter));
  }
}

void KafkaDeadLetters::restored() {
  for (auto& [id, letter] : parts_->outbox) parts_->send(id, letter);
  parts_->probe.waiting.store(parts_->outbox.size(), std::memory_order_relaxed);
}

}  // namespace millrace
