#include "ops/demo/event_producer.h"

#include <librdkafka/rdkafka.h>

#include <array>
#include <stdexcept>

namespace millrace {

struct EventProducer::Parts {
  rd_kafka_t* producer = nullptr;
  std::uint64_t failed = 0;

  static void delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* parts) {
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) ++static_cast<Parts*>(parts)->failed;
  }
};

EventProducer::EventProducer(const std::string& brokers,
                             const std::map<std::string, std::string>& properties)
    : parts_(std::make_unique<Parts>()) {
  std::array<char, 512> problem{};
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  auto set = [&](const std::string& name, const std::string& value) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), problem.data(), problem.size()) !=
        RD_KAFKA_CONF_OK) {
      rd_kafka_conf_destroy(conf);
      throw std::runtime_error("kafka.properties." + name + ": " + problem.data());
    }
  };
  set("bootstrap.servers", brokers);
  set("linger.ms", "5");
  set("partitioner", "murmur2_random");
  for (const auto& [name, value] : properties) set(name, value);
  rd_kafka_conf_set_opaque(conf, parts_.get());
  rd_kafka_conf_set_dr_msg_cb(conf, &Parts::delivered);
  parts_->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem.data(), problem.size());
  if (parts_->producer == nullptr) {
    rd_kafka_conf_destroy(conf);
    throw std::runtime_error(std::string("the producer does not start: ") + problem.data());
  }
}

EventProducer::~EventProducer() {
  rd_kafka_flush(parts_->producer, 5000);
  rd_kafka_purge(parts_->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  rd_kafka_flush(parts_->producer, 100);
  rd_kafka_destroy(parts_->producer);
}

void EventProducer::send(const std::string& topic, std::string_view key, std::string_view record) {
  while (true) {
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        parts_->producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_KEY(key.data(), key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(record.data()), record.size()),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    rd_kafka_poll(parts_->producer, error == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 50 : 0);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
      throw std::runtime_error("there is no topic " + topic + "; create it first");
    }
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      throw std::runtime_error("topic " + topic + ": " + rd_kafka_err2str(error));
    }
  }
}

bool EventProducer::flush(Duration timeout) {
  return rd_kafka_flush(parts_->producer, static_cast<int>(timeout.count())) ==
         RD_KAFKA_RESP_ERR_NO_ERROR;
}

std::uint64_t EventProducer::failed() const { return parts_->failed; }

}  // namespace millrace
