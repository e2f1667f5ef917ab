// Topics that retention passed, that were deleted, made anew or cut, on a real Kafka: nothing is
// read over in silence, nothing is read twice, and what is skipped is counted and named.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/kafka_reader.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

auto skip = [](KafkaSourceConfig& config) { config.options.on_lost = OnLost::kSkip; };

struct KafkaLost : ::testing::Test {
  KafkaServer& kafka = KafkaServer::shared();
  TestProducer producer{kafka.address()};
  std::string topic = ::testing::UnitTest::GetInstance()->current_test_info()->name();

  // Reads what is in the topic; what the commit then holds.
  StateChanges read_all(std::size_t count) {
    Reader reader(kafka.address(), {topic});
    reader.start();
    EXPECT_EQ(reader.read(count).size(), count);
    return reader.save();
  }
  void make_anew(int partitions) {
    kafka.delete_topic(topic);
    create_again(partitions);
  }
  void create_again(int partitions) {
    // Deleting goes on for a moment after the broker's answer.
    ASSERT_TRUE(wait_until([&] {
      try {
        kafka.create_topic(topic, partitions);
        return true;
      } catch (const std::runtime_error&) {
        return false;
      }
    }));
    TestProducer(kafka.address()).flush();
  }
  // What stops a start from `saved`.
  std::string refusal(const StateChanges& saved) {
    Reader reader(kafka.address(), {topic});
    reader.restore(saved);
    try {
      reader.start();
      return "started";
    } catch (const LostError& error) {
      return error.what();
    }
  }
};

TEST_F(KafkaLost, RetentionBeyondThePosition) {
  kafka.create_topic(topic, 2);
  fill(producer, topic, 100, "v", 2);
  const StateChanges saved = read_all(100);
  fill(producer, topic, 100, "w", 2);
  kafka.delete_records(topic, 1, 70);
  EXPECT_THAT(refusal(saved), HasSubstr("topic " + topic +
                                        ", partition 1: the stored offset 50 is "
                                        "not there; the broker has 70 to 100"));
  Reader reader(kafka.address(), {topic}, skip);
  reader.restore(saved);
  reader.start();
  EXPECT_EQ(reader.read(80).size(), 80u);
  ASSERT_EQ(reader.source->losses().last().size(), 1u);
  EXPECT_EQ(reader.source->losses().last()[0],
            (LostRange{{topic, 1}, 50, 70, LossReason::kRetention}));
  EXPECT_THAT(reader.log(), HasSubstr("skipped offsets 50 to 69 (20 are lost)"));
  // What was skipped is in the commit.
  Reader next(kafka.address(), {topic});
  next.restore(reader.save());
  next.start();
  EXPECT_TRUE(next.read(0).empty());
  EXPECT_EQ(next.source->losses().counts()[0].offsets, 20u);
}

TEST_F(KafkaLost, RetentionUpToThePositionLosesNothing) {
  kafka.create_topic(topic, 1);
  fill(producer, topic, 50, "v", 1);
  const StateChanges saved = read_all(50);
  fill(producer, topic, 10, "w", 1);
  kafka.delete_records(topic, 0, 50);
  Reader reader(kafka.address(), {topic});
  reader.restore(saved);
  reader.start();
  EXPECT_EQ(reader.read(10).size(), 10u);
  EXPECT_THAT(reader.log(), HasSubstr("offset 49, is gone by retention; the stored offset 50 is "
                                      "still there"));
}

TEST_F(KafkaLost, ATopicMadeAnewShorterOrLongerThanThePosition) {
  for (const int count : {0, 20, 400}) {
    if (count == 0) {
      kafka.create_topic(topic, 2);
    } else {
      make_anew(2);
    }
    fill(producer, topic, 100, "v" + std::to_string(count), 2);
    const StateChanges saved = read_all(100);
    make_anew(2);
    TestProducer again(kafka.address());
    const auto expected = fill(again, topic, count, "w", 2);
    const std::string refused = refusal(saved);
    EXPECT_THAT(refused, HasSubstr("topic " + topic + ", partition 0: "));
    EXPECT_THAT(refused, HasSubstr("the topic was made anew"));
    EXPECT_THAT(refused, HasSubstr("kafka.on_lost: skip"));
    if (count == 400) {
      EXPECT_THAT(refused, HasSubstr("at offset 49, the last that was read, its timestamp is "));
      EXPECT_THAT(refused, HasSubstr("its key or value is another; the broker has 0 to 200"));
    }
    Reader reader(kafka.address(), {topic}, skip);
    reader.restore(saved);
    reader.start();
    EXPECT_EQ(values_of(reader.read(expected.size())), expected);
    EXPECT_EQ(reader.source->losses().counts()[1].ranges, 2u);
    EXPECT_THAT(reader.log(), HasSubstr("skipped offsets from 50 on of the topic as it was, going "
                                        "on at 0"));
  }
}

// The marks of records that a transaction wrote are of those that are visible.
TEST_F(KafkaLost, TransactionsLeaveMarksThatAreFoundAgain) {
  kafka.create_topic(topic, 1);
  TestProducer by(kafka.address(), {{"transactional.id", topic}});
  by.begin();
  by.send({.topic = topic, .value = "a"});
  by.commit();
  by.begin();
  by.send({.topic = topic, .value = "never"});
  by.abort();
  StateChanges saved;
  {
    Reader reader(kafka.address(), {topic});
    reader.start();
    EXPECT_EQ(reader.read(1).size(), 1u);
    ASSERT_TRUE(wait_until([&] {
      reader.read(0);
      return reader.source->position(0) == 4;
    }));
    saved = reader.save();
  }
  by.begin();
  by.send({.topic = topic, .value = "b"});
  by.commit();
  {
    Reader reader(kafka.address(), {topic});
    reader.restore(saved);
    reader.start();
    EXPECT_THAT(values_of(reader.read(1)), ::testing::ElementsAre("b"));
  }
  // In a topic made anew the offset of "a" is that of a record that was aborted.
  make_anew(1);
  TestProducer anew(kafka.address(), {{"transactional.id", topic + "2"}});
  anew.begin();
  anew.send({.topic = topic, .value = "a"});
  anew.abort();
  anew.begin();
  for (const char* value : {"c", "d", "e"}) anew.send({.topic = topic, .value = value});
  anew.commit();
  EXPECT_THAT(refusal(saved), HasSubstr("there is no record, the next one has offset 2"));
}

TEST_F(KafkaLost, ADeletedTopicIsWaitedForAndKnownToBeAnotherWhenItComesBack) {
  kafka.create_topic(topic, 1);
  fill(producer, topic, 10, "v", 1);
  const StateChanges saved = read_all(10);
  kafka.delete_topic(topic);
  Reader reader(kafka.address(), {topic}, skip);
  reader.restore(saved);
  reader.start();
  EXPECT_THAT(reader.log(), HasSubstr("topic " + topic + " does not exist yet; waiting for it"));
  create_again(1);
  TestProducer again(kafka.address());
  const auto expected = fill(again, topic, 25, "w", 1);
  EXPECT_EQ(values_of(reader.read(25)), expected);
  EXPECT_EQ(reader.source->losses().counts()[1].ranges, 1u);
}

// Under a running reader, which stands at the end: the name vanishes for a while.
TEST_F(KafkaLost, ATopicDeletedAndMadeAnewUnderTheReader) {
  kafka.create_topic(topic, 1);
  fill(producer, topic, 10, "v", 1);
  Reader reader(kafka.address(), {topic}, skip);
  Reader failing(kafka.address(), {topic});
  reader.start();
  failing.start();
  reader.read(10);
  failing.read(10);
  reader.save();
  const StateChanges saved = failing.save();
  kafka.delete_topic(topic);
  for (Reader* one : {&reader, &failing}) {
    ASSERT_TRUE(wait_until([&] {
      one->read(0);
      one->source->wait(Duration{20});
      return one->log().find("does not exist") != std::string::npos;
    }));
  }
  create_again(1);
  TestProducer again(kafka.address());
  const auto expected = fill(again, topic, 25, "w", 1);
  EXPECT_EQ(values_of(reader.read(25)), expected);
  EXPECT_THROW(failing.read(25), LostError);
  EXPECT_THAT(refusal(saved), HasSubstr("the topic was made anew"));
}

// So fast that nobody sees the name missing: librdkafka goes on in the new topic.
TEST_F(KafkaLost, ATopicMadeAnewSoFastThatReadingGoesOnIsFoundByTheNextCheck) {
  kafka.create_topic(topic, 1);
  fill(producer, topic, 10, "v", 1);
  auto slow = [](KafkaSourceConfig& config) { config.options.check_every = Duration{3'000}; };
  Reader failing(kafka.address(), {topic}, slow);
  Reader reader(kafka.address(), {topic}, [&](KafkaSourceConfig& config) {
    slow(config);
    skip(config);
  });
  reader.start();
  failing.start();
  for (Reader* one : {&reader, &failing}) {
    one->read(10);
    one->save();
  }
  make_anew(1);
  TestProducer again(kafka.address());
  fill(again, topic, 25, "w", 1);
  // Either it was seen in time, and all of the new topic is read; or the part from offset 10 on was
  // read before, and what is lost is named.
  std::size_t got = 0;
  ASSERT_TRUE(wait_until([&] {
    got += reader.read(0).size();
    reader.save();
    reader.source->wait(Duration{20});
    return reader.source->losses().counts()[1].ranges == 1 && reader.source->position(0) == 25;
  })) << reader.log();
  const LostRange& lost = reader.source->losses().last()[0];
  EXPECT_EQ(got, lost.end ? 15u : 25u) << reader.log();
  if (lost.end) {
    EXPECT_EQ(lost, (LostRange{{topic, 0}, 0, 10, LossReason::kMadeAnew}));
  }

  // Where it fails, a commit in between does not hide it from the next start.
  StateChanges saved = failing.save();
  EXPECT_THROW(wait_until([&] {
                 failing.read(0);
                 saved = failing.save();
                 failing.source->wait(Duration{20});
                 return false;
               }),
               LostError);
  EXPECT_THAT(refusal(saved), HasSubstr("the topic was made anew"));
}

TEST_F(KafkaLost, ATopicMadeAnewWithFewerPartitions) {
  kafka.create_topic(topic, 3);
  fill(producer, topic, 30);
  StateChanges saved = read_all(30);
  make_anew(1);
  Reader reader(kafka.address(), {topic}, skip);
  reader.restore(saved);
  reader.start();
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{20});
    reader.save();
    return reader.source->losses().counts()[1].ranges == 3;
  })) << reader.log();
  EXPECT_THAT(reader.log(), HasSubstr("partition 2: it is gone, though its topic is there"));
  // They may come back, and are read from their start.
  kafka.grow_topic(topic, 3);
  TestProducer again(kafka.address());
  const auto expected = fill(again, topic, 30, "w");
  EXPECT_EQ(values_of(reader.read(30)), expected);
  EXPECT_EQ(reader.source->losses().counts()[1].ranges, 3u);
}

// A log that loses its end, as when a replica that was behind becomes the leader.
TEST(KafkaLostLog, ALogThatWasCutIsNotReadTwice) {
  namespace fs = std::filesystem;
  KafkaServer kafka;
  kafka.create_topic("cut", 1);
  TestProducer producer(kafka.address());
  fill(producer, "cut", 10, "v", 1);
  StateChanges saved;
  {
    Reader reader(kafka.address(), {"cut"});
    reader.start();
    reader.read(10);
    reader.save();
    // The record at offset 9 becomes the anchor.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    reader.read(0);
    fill(producer, "cut", 10, "w", 1);
    reader.read(10);
    saved = reader.save();
  }
  const fs::path log = fs::path(kafka.data()) / "cut-0" / "00000000000000000000.log";
  kafka.kill();
  // Of the second batch nothing is left but a torn piece, which the broker cuts off.
  // (A busy machine cuts the first ten records into several batches.)
  std::error_code none;
  std::ifstream file(log, std::ios::binary);
  std::uintmax_t first = 0;
  for (;; first += 12) {
    unsigned char head[12];
    file.seekg(static_cast<std::streamoff>(first));
    ASSERT_TRUE(file.read(reinterpret_cast<char*>(head), sizeof head));
    const auto number = [&head](int from, int to) {
      std::uint64_t value = 0;
      for (int i = from; i < to; ++i) value = value << 8 | head[i];
      return value;
    };
    if (number(0, 8) >= 10) break;  // its first record's offset
    first += number(8, 12);
  }
  fs::resize_file(log, first + 20, none);
  ASSERT_FALSE(none) << none.message();
  kafka.restart();
  ASSERT_EQ(kafka.offsets("cut", 0).second, 10);
  auto start = [&](Reader& reader) {
    reader.restore(saved);
    reader.start();
  };
  Reader refusing(kafka.address(), {"cut"});
  EXPECT_THROW(start(refusing), LostError);
  Reader reader(kafka.address(), {"cut"}, skip);
  start(reader);
  EXPECT_THAT(reader.log(), HasSubstr("the log was cut behind offset 9; nothing is skipped, going "
                                      "on at 10"));
  TestProducer again(kafka.address());
  const auto expected = fill(again, "cut", 5, "x", 1);
  EXPECT_EQ(values_of(reader.read(5)), expected);
}

}  // namespace
}  // namespace millrace
