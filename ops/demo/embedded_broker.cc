#include "ops/demo/embedded_broker.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <stdexcept>

namespace millrace {

struct EmbeddedBroker::Parts {
  rd_kafka_t* owner = nullptr;
  rd_kafka_mock_cluster_t* cluster = nullptr;

  ~Parts() {
    if (cluster != nullptr) rd_kafka_mock_cluster_destroy(cluster);
    if (owner != nullptr) rd_kafka_destroy(owner);
  }
};

EmbeddedBroker::EmbeddedBroker(const std::vector<std::string>& topics, int partitions)
    : parts_(std::make_unique<Parts>()) {
  std::array<char, 512> problem{};
  parts_->owner =
      rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), problem.data(), problem.size());
  if (parts_->owner == nullptr) {
    throw std::runtime_error(std::string("embedded broker: ") + problem.data());
  }
  parts_->cluster = rd_kafka_mock_cluster_new(parts_->owner, 1);
  if (parts_->cluster == nullptr) throw std::runtime_error("embedded broker: it does not start");
  for (const std::string& topic : topics) {
    const rd_kafka_resp_err_t error =
        rd_kafka_mock_topic_create(parts_->cluster, topic.c_str(), partitions, 1);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      throw std::runtime_error("embedded broker: topic " + topic + ": " + rd_kafka_err2str(error));
    }
  }
}

EmbeddedBroker::~EmbeddedBroker() = default;

std::string EmbeddedBroker::address() const {
  return rd_kafka_mock_cluster_bootstraps(parts_->cluster);
}

}  // namespace millrace
