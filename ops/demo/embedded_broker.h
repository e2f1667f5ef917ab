#pragma once

#include <memory>
#include <string>
#include <vector>

namespace millrace {

/// A Kafka broker inside the process, for the demo: librdkafka's mock cluster, on loopback and a
/// free port, in memory. It keeps about 5 MiB a partition and drops the oldest beyond that, so what
/// is produced must be read soon. Not for anything that must last.
class EmbeddedBroker {
 public:
  /// Creates the topics, each with `partitions`. Throws std::runtime_error.
  EmbeddedBroker(const std::vector<std::string>& topics, int partitions);
  ~EmbeddedBroker();
  EmbeddedBroker(const EmbeddedBroker&) = delete;
  EmbeddedBroker& operator=(const EmbeddedBroker&) = delete;

  /// host:port, for kafka.brokers.
  std::string address() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
