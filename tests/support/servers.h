#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_folder.h"

namespace millrace {

/// A TCP port of loopback that nobody listens on just now.
int free_port();

/// A program that was started and ends with this object at the latest; the kernel kills it when
/// the test program dies, whatever it dies of.
class ChildProcess {
 public:
  /// Starts `arguments[0]` (looked up in PATH); standard output and error go to the file `log`.
  /// `environment` is added to ours. Throws std::runtime_error where it cannot be started.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log,
               const std::map<std::string, std::string>& environment = {});
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  /// Waits for the end. The exit code, or 128 + the signal that ended it; nothing after `seconds`.
  std::optional<int> wait(double seconds);

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// A real Apache Kafka (tests/support/kafka/kafka.sh): one node on a free port of loopback, its
/// data in a temporary folder. Topics are never made on demand. Errors: throws std::runtime_error.
class KafkaServer {
 public:
  /// Starts a broker and waits until it answers: a few seconds.
  KafkaServer();
  KafkaServer(const KafkaServer&) = delete;
  KafkaServer& operator=(const KafkaServer&) = delete;
  ~KafkaServer();

  /// One broker for the whole test program, started at the first call. Tests share it, so each
  /// uses topics of its own and nobody kills it.
  static KafkaServer& shared();

  const std::string& address() const { return address_; }
  /// The folder of its logs.
  std::string data() const { return folder_ / "data"; }

  void create_topic(const std::string& topic, int partitions = 3);
  void delete_topic(const std::string& topic);
  /// Gives a topic more partitions, `total` in all.
  void grow_topic(const std::string& topic, int total);
  /// Retention by hand: the records below `offset` are gone.
  void delete_records(const std::string& topic, int partition, std::int64_t offset);
  /// The first offset that is there, and the one that the next record will get.
  std::pair<std::int64_t, std::int64_t> offsets(const std::string& topic, int partition);
  /// What a consumer group has committed; −1 if nothing.
  std::int64_t committed(const std::string& group, const std::string& topic, int partition);

  /// Kills the broker with SIGKILL.
  void kill();
  /// Holds it still, as a machine that hangs does, and lets it go on.
  void freeze();
  void thaw();
  /// Starts it again on the same port and data, and waits until it answers.
  void restart();

 private:
  void start();

  TempFolder folder_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
  struct Admin;
  std::unique_ptr<Admin> admin_;
};

/// One record to be produced.
struct TestRecord {
  std::string topic;
  int partition = 0;
  std::optional<std::string> value;  ///< Nothing: a tombstone.
  std::optional<std::string> key = std::nullopt;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers = {};
  std::int64_t timestamp = 0;  ///< Milliseconds; 0: now.
};

/// Produces records into a Kafka. Errors: throws std::runtime_error. Threads: one at a time.
class TestProducer {
 public:
  /// `properties` are librdkafka's, e.g. {"compression.codec", "lz4"}, {"transactional.id", "t"}.
  explicit TestProducer(const std::string& address,
                        const std::map<std::string, std::string>& properties = {});
  TestProducer(const TestProducer&) = delete;
  TestProducer& operator=(const TestProducer&) = delete;
  ~TestProducer();

  void send(const TestRecord& record);
  /// Waits until everything sent is acknowledged.
  void flush();

  /// Only with a `transactional.id`. `commit` and `abort` flush.
  void begin();
  void commit();
  void abort();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// A record as a plain consumer sees it.
struct ReadRecord {
  int partition = 0;
  std::int64_t offset = 0;
  std::string key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

/// All records of a topic up to the ends that its partitions have now, partition by partition.
/// Throws std::runtime_error where they do not come within 30 s.
std::vector<ReadRecord> read_topic(const std::string& address, const std::string& topic,
                                   int partitions);

}  // namespace millrace
