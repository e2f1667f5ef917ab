#include "tests/support/servers.h"

#include <librdkafka/rdkafka.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace millrace {
namespace {

constexpr int kTimeoutMs = 30'000;
constexpr int kAnswerMs = 2'000;  // for questions that are asked again

[[noreturn]] void fail(const std::string& what, const std::string& why) {
  throw std::runtime_error(what + ": " + why);
}

rd_kafka_t* open_client(rd_kafka_type_t type, const std::string& address,
                        const std::map<std::string, std::string>& properties) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  auto set = [&](const std::string& name, const std::string& value) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) !=
        RD_KAFKA_CONF_OK) {
      fail("property " + name, error);
    }
  };
  set("bootstrap.servers", address);
  // A broker that restarts is no news to a test.
  set("log_level", "0");
  for (const auto& [name, value] : properties) set(name, value);
  rd_kafka_t* client = rd_kafka_new(type, conf, error, sizeof error);
  if (client == nullptr) fail("rd_kafka_new", error);
  return client;
}

using Topic = std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)>;

// Asks again until it is so; a broker on a busy machine takes long. False where it never is.
bool await(const std::function<bool()>& is_so) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (is_so()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

// Whether one broker is there and leads each partition of `topic`, or where that is null, of all
// topics: by the metadata, and by its answer, since it is named a partition's leader before it
// serves it.
bool is_led(rd_kafka_t* client, rd_kafka_topic_t* topic, int least_partitions = 0) {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(client, topic == nullptr, topic, &metadata, kAnswerMs)) return false;
  bool led = metadata->broker_cnt == 1;
  auto* list = rd_kafka_topic_partition_list_new(0);
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic& of = metadata->topics[i];
    led = led && !of.err && of.partition_cnt >= least_partitions;
    for (int p = 0; p < of.partition_cnt; ++p) {
      led = led && !of.partitions[p].err;
      rd_kafka_topic_partition_list_add(list, of.topic, of.partitions[p].id)->offset =
          RD_KAFKA_OFFSET_END;
    }
  }
  rd_kafka_metadata_destroy(metadata);
  if (led && list->cnt > 0) led = !rd_kafka_offsets_for_times(client, list, kAnswerMs);
  for (int i = 0; i < list->cnt; ++i) led = led && !list->elems[i].err;
  rd_kafka_topic_partition_list_destroy(list);
  return led;
}

// Made is not yet known, and known is not yet led: a client that asks at once may be told that
// there is no such topic, or that its leader is another.
void await_partitions(rd_kafka_t* client, const std::string& topic, int partitions) {
  const Topic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr), rd_kafka_topic_destroy);
  if (!await([&] { return is_led(client, handle.get(), partitions); })) {
    fail("topic " + topic, "its partitions have no leader");
  }
}

}  // namespace

// What changes topics; each call waits for the broker's answer.
struct KafkaServer::Admin {
  explicit Admin(const std::string& address)
      : client(open_client(RD_KAFKA_PRODUCER, address, {})), queue(rd_kafka_queue_new(client)) {}
  ~Admin() {
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
  }

  // Sends a request and checks its one result.
  template <class Send>
  void ask(const std::string& what, Send send) {
    rd_kafka_AdminOptions_t* options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_ANY);
    char error[512];
    rd_kafka_AdminOptions_set_operation_timeout(options, kTimeoutMs, error, sizeof error);
    send(options);
    rd_kafka_event_t* event = rd_kafka_queue_poll(queue, kTimeoutMs);
    rd_kafka_AdminOptions_destroy(options);
    if (event == nullptr) fail(what, "no answer");
    const std::string problem = problem_of(event);
    rd_kafka_event_destroy(event);
    if (!problem.empty()) fail(what, problem);
  }

  static std::string problem_of(rd_kafka_event_t* event) {
    if (rd_kafka_event_error(event)) return rd_kafka_event_error_string(event);
    std::size_t count = 0;
    const rd_kafka_topic_result_t** results = nullptr;
    if (const auto* created = rd_kafka_event_CreateTopics_result(event)) {
      results = rd_kafka_CreateTopics_result_topics(created, &count);
    } else if (const auto* deleted = rd_kafka_event_DeleteTopics_result(event)) {
      results = rd_kafka_DeleteTopics_result_topics(deleted, &count);
    } else if (const auto* grown = rd_kafka_event_CreatePartitions_result(event)) {
      results = rd_kafka_CreatePartitions_result_topics(grown, &count);
    } else if (const auto* cut = rd_kafka_event_DeleteRecords_result(event)) {
      const auto* partition = &rd_kafka_DeleteRecords_result_offsets(cut)->elems[0];
      return partition->err ? rd_kafka_err2str(partition->err) : "";
    }
    if (count != 1) return "an unexpected answer";
    return rd_kafka_topic_result_error(results[0])
               ? rd_kafka_err2str(rd_kafka_topic_result_error(results[0]))
               : "";
  }

  rd_kafka_t* client;
  rd_kafka_queue_t* queue;
};

KafkaServer::KafkaServer() {
  const std::string script = std::string(SOURCE_DIR) + "/tests/support/kafka/kafka.sh";
  ChildProcess prepare({"bash", script, "prepare", folder_.path()}, folder_ / "prepare.log");
  if (prepare.wait(300) != 0) {
    std::ifstream log(folder_ / "prepare.log");
    fail("kafka.sh prepare", std::string(std::istreambuf_iterator<char>(log), {}));
  }
  std::ifstream(folder_ / "address") >> address_;
  start();
}

KafkaServer::~KafkaServer() {
  admin_.reset();
  process_.reset();
}

KafkaServer& KafkaServer::shared() {
  static KafkaServer server;
  return server;
}

void KafkaServer::start() {
  const std::string script = std::string(SOURCE_DIR) + "/tests/support/kafka/kafka.sh";
  process_ = std::make_unique<ChildProcess>(
      std::vector<std::string>{"bash", script, "run", folder_.path()}, folder_ / "log");
  admin_ = std::make_unique<Admin>(address_);
  const bool is_up =
      await([this] { return !process_->running() || is_led(admin_->client, nullptr); });
  if (is_up && process_->running()) return;
  std::ifstream log(folder_ / "log");
  fail("Kafka does not start", std::string(std::istreambuf_iterator<char>(log), {}));
}

void KafkaServer::kill() {
  admin_.reset();
  process_.reset();
}

void KafkaServer::freeze() { process_->signal(SIGSTOP); }
void KafkaServer::thaw() { process_->signal(SIGCONT); }

void KafkaServer::restart() { start(); }

void KafkaServer::create_topic(const std::string& topic, int partitions) {
  char error[512];
  auto* request = rd_kafka_NewTopic_new(topic.c_str(), partitions, 1, error, sizeof error);
  if (request == nullptr) fail("create topic " + topic, error);
  admin_->ask("create topic " + topic, [&](auto* options) {
    rd_kafka_CreateTopics(admin_->client, &request, 1, options, admin_->queue);
  });
  rd_kafka_NewTopic_destroy(request);
  await_partitions(admin_->client, topic, partitions);
}

void KafkaServer::delete_topic(const std::string& topic) {
  auto* request = rd_kafka_DeleteTopic_new(topic.c_str());
  admin_->ask("delete topic " + topic, [&](auto* options) {
    rd_kafka_DeleteTopics(admin_->client, &request, 1, options, admin_->queue);
  });
  rd_kafka_DeleteTopic_destroy(request);
}

void KafkaServer::grow_topic(const std::string& topic, int total) {
  char error[512];
  auto* request = rd_kafka_NewPartitions_new(topic.c_str(), static_cast<std::size_t>(total), error,
                                             sizeof error);
  if (request == nullptr) fail("grow topic " + topic, error);
  admin_->ask("grow topic " + topic, [&](auto* options) {
    rd_kafka_CreatePartitions(admin_->client, &request, 1, options, admin_->queue);
  });
  rd_kafka_NewPartitions_destroy(request);
  await_partitions(admin_->client, topic, total);
}

void KafkaServer::delete_records(const std::string& topic, int partition, std::int64_t offset) {
  auto* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = offset;
  auto* request = rd_kafka_DeleteRecords_new(list);
  rd_kafka_topic_partition_list_destroy(list);
  admin_->ask("delete records of " + topic, [&](auto* options) {
    rd_kafka_DeleteRecords(admin_->client, &request, 1, options, admin_->queue);
  });
  rd_kafka_DeleteRecords_destroy(request);
}

std::pair<std::int64_t, std::int64_t> KafkaServer::offsets(const std::string& topic,
                                                           int partition) {
  std::int64_t low = 0, high = 0;
  rd_kafka_resp_err_t error{};
  // A client may not know the leader yet, or the leader not that it is.
  await([&] {
    error = rd_kafka_query_watermark_offsets(admin_->client, topic.c_str(), partition, &low, &high,
                                             kTimeoutMs);
    return error != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION &&
           error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE &&
           error != RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
  });
  if (error) fail("offsets of " + topic, rd_kafka_err2str(error));
  return {low, high};
}

std::int64_t KafkaServer::committed(const std::string& group, const std::string& topic,
                                    int partition) {
  rd_kafka_t* client = open_client(RD_KAFKA_CONSUMER, address_, {{"group.id", group}});
  auto* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition);
  const auto error = rd_kafka_committed(client, list, kTimeoutMs);
  const std::int64_t offset = list->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_destroy(client);
  if (error) fail("committed offsets of " + group, rd_kafka_err2str(error));
  return offset < 0 ? -1 : offset;
}

struct TestProducer::Parts {
  rd_kafka_t* client;
  std::map<std::string, Topic> topics = {};  // those that were met

  // librdkafka looks for the leaders of a topic that a record names only at its next tick, up to a
  // second later; asked for, it knows them while the topic is held.
  void meet(const std::string& name) {
    const auto [found, is_new] = topics.try_emplace(name, nullptr, rd_kafka_topic_destroy);
    if (!is_new) return;
    found->second.reset(rd_kafka_topic_new(client, name.c_str(), nullptr));
    const rd_kafka_metadata_t* metadata = nullptr;
    if (!rd_kafka_metadata(client, 0, found->second.get(), &metadata, kAnswerMs)) {
      rd_kafka_metadata_destroy(metadata);
    }
  }
};

TestProducer::TestProducer(const std::string& address,
                           const std::map<std::string, std::string>& properties) {
  auto all = properties;
  all.insert({"linger.ms", "2"});
  all.insert({"queue.buffering.max.messages", "1000000"});
  parts_ = std::make_unique<Parts>(Parts{open_client(RD_KAFKA_PRODUCER, address, all)});
  if (properties.contains("transactional.id")) {
    if (auto* error = rd_kafka_init_transactions(parts_->client, kTimeoutMs)) {
      fail("init_transactions", rd_kafka_error_string(error));
    }
  }
}

TestProducer::~TestProducer() {
  parts_->topics.clear();
  rd_kafka_destroy(parts_->client);
}

void TestProducer::send(const TestRecord& record) {
  parts_->meet(record.topic);
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(record.headers.size());
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()),
                          value ? value->data() : nullptr,
                          value ? static_cast<ssize_t>(value->size()) : 0);
    }
  }
  const std::string empty;
  const std::string& value = record.value ? *record.value : empty;
  const std::string& key = record.key ? *record.key : empty;
  void* value_data = record.value ? const_cast<char*>(value.data()) : nullptr;
  void* key_data = record.key ? const_cast<char*>(key.data()) : nullptr;
  while (true) {
    const auto error = rd_kafka_producev(
        parts_->client, RD_KAFKA_V_TOPIC(record.topic.c_str()),
        RD_KAFKA_V_PARTITION(record.partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE(value_data, value.size()), RD_KAFKA_V_KEY(key_data, key.size()),
        RD_KAFKA_V_TIMESTAMP(record.timestamp), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (!error) return;
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce", rd_kafka_err2str(error));
    rd_kafka_poll(parts_->client, 10);
  }
}

void TestProducer::flush() {
  const auto error = rd_kafka_flush(parts_->client, kTimeoutMs);
  if (error) fail("flush", rd_kafka_err2str(error));
}

void TestProducer::begin() {
  if (auto* error = rd_kafka_begin_transaction(parts_->client)) {
    fail("begin", rd_kafka_error_string(error));
  }
}
void TestProducer::commit() {
  if (auto* error = rd_kafka_commit_transaction(parts_->client, kTimeoutMs)) {
    fail("commit", rd_kafka_error_string(error));
  }
}
void TestProducer::abort() {
  flush();
  if (auto* error = rd_kafka_abort_transaction(parts_->client, kTimeoutMs)) {
    fail("abort", rd_kafka_error_string(error));
  }
}

namespace {

ReadRecord copy_record(const rd_kafka_message_t* message) {
  ReadRecord record;
  record.partition = message->partition;
  record.offset = message->offset;
  record.key.assign(static_cast<const char*>(message->key), message->key_len);
  record.value.assign(static_cast<const char*>(message->payload), message->len);
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers)) return record;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); ++i) {
    record.headers.emplace_back(
        name, value == nullptr ? std::nullopt
                               : std::optional(std::string(static_cast<const char*>(value), size)));
  }
  return record;
}

}  // namespace

std::vector<ReadRecord> read_topic(const std::string& address, const std::string& topic,
                                   int partitions) {
  const std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> client(
      open_client(RD_KAFKA_CONSUMER, address,
                  {{"group.id", "test-reader"}, {"enable.partition.eof", "true"}}),
      rd_kafka_destroy);
  std::vector<ReadRecord> records;
  for (int partition = 0; partition < partitions; ++partition) {
    auto* list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = 0;
    rd_kafka_assign(client.get(), list);
    rd_kafka_topic_partition_list_destroy(list);
    for (bool more = true; more;) {
      auto* message = rd_kafka_consumer_poll(client.get(), kTimeoutMs);
      if (message == nullptr) fail("read " + topic, "nothing comes");
      const auto error = message->err;
      if (!error) records.push_back(copy_record(message));
      rd_kafka_message_destroy(message);
      if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF) more = false;
      if (error && more) fail("read " + topic, rd_kafka_err2str(error));
    }
  }
  return records;
}

}  // namespace millrace
