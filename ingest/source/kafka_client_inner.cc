#include "ingest/source/kafka_client_inner.h"

#include <chrono>
#include <future>
#include <thread>
#include <utility>

namespace millrace {
namespace {

constexpr std::chrono::seconds kPatience{5};

// Syslog's levels as librdkafka uses them: 0–3 errors, 4 warnings, then news.
constexpr int kWarning = 4;

// The same properties go to consumers and to producers; that a kind ignores the other's is no news.
bool is_other_kind(std::string_view facility, std::string_view message) {
  return facility == "CONFWARN" && (message.find("is a consumer property") != message.npos ||
                                    message.find("is a producer property") != message.npos);
}

}  // namespace

Result<std::unique_ptr<KafkaClient>> KafkaClient::open(rd_kafka_type_t type,
                                                       const Properties& properties,
                                                       ClientLog log) {
  std::unique_ptr<KafkaClient> client(new KafkaClient);
  client->shared_ = std::make_shared<Shared>();
  client->shared_->log = std::move(log);
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char problem[512];
  for (const auto& [name, value] : properties) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), problem, sizeof problem) !=
        RD_KAFKA_CONF_OK) {
      rd_kafka_conf_destroy(conf);
      return Error{name + ": " + problem};
    }
  }
  rd_kafka_conf_set_opaque(conf, client->shared_.get());
  rd_kafka_conf_set_log_cb(conf, log_line);
  if (type == RD_KAFKA_PRODUCER) {
    rd_kafka_conf_set_dr_msg_cb(conf, delivery_report);
  } else {
    rd_kafka_conf_set_offset_commit_cb(conf, commit_result);
  }
  client->client_ = rd_kafka_new(type, conf, problem, sizeof problem);
  if (client->client_ == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{std::string(problem)};
  }
  // All that a consumer hears, results of commits too, comes through one poll.
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(client->client_);
  return client;
}

KafkaClient::~KafkaClient() {
  if (client_ == nullptr) return;
  {
    std::lock_guard lock(shared_->mutex);
    shared_->log = nullptr;
    shared_->delivered = nullptr;
    shared_->committed = nullptr;
  }
  auto done = std::make_shared<std::promise<void>>();
  const std::future<void> end = done->get_future();
  std::thread([client = client_, shared = shared_, done] {
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    done->set_value();
  }).detach();
  end.wait_for(kPatience);
}

std::string KafkaClient::last_complaint() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->last_complaint;
}

void KafkaClient::on_delivery(std::function<void(const rd_kafka_message_t&)> seen) {
  std::lock_guard lock(shared_->mutex);
  shared_->delivered = std::move(seen);
}

void KafkaClient::on_commit(std::function<void(rd_kafka_resp_err_t)> seen) {
  std::lock_guard lock(shared_->mutex);
  shared_->committed = std::move(seen);
}

// No broker error is a failure: librdkafka goes on by itself, so all of them are warnings.
void KafkaClient::log_line(const rd_kafka_t* client, int level, const char* facility,
                           const char* message) {
  auto* shared = static_cast<Shared*>(rd_kafka_opaque(client));
  if (shared == nullptr || is_other_kind(facility, message)) return;
  std::lock_guard lock(shared->mutex);
  if (level <= kWarning) shared->last_complaint = message;
  if (shared->log) {
    shared->log(level <= kWarning ? "warning" : "info",
                "kafka: " + std::string(facility) + ": " + message);
  }
}

void KafkaClient::delivery_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto* shared = static_cast<Shared*>(opaque);
  if (shared->delivered) shared->delivered(*message);
}

void KafkaClient::commit_result(rd_kafka_t*, rd_kafka_resp_err_t error,
                                rd_kafka_topic_partition_list_t*, void* opaque) {
  auto* shared = static_cast<Shared*>(opaque);
  if (shared->committed) shared->committed(error);
}

}  // namespace millrace
