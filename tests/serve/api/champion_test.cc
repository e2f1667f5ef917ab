// POST /v1/admin/champion, and what scoring answers while the served model changes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"
#include "tests/support/http_client.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

struct ChampionTest : ServingTest {
  std::vector<TrainerCommand> commands;
  CommandAnswer answer{CommandAnswer::Status::kDone, "the model b is the champion now"};

  void serve() {
    publish_first();
    ServeParts given = parts();
    given.command = [this](TrainerCommand command) {
      commands.push_back(std::move(command));
      return answer;
    };
    given.tasks = [] {
      TrainerReport champion;
      champion.model = "b";
      champion.rows = 7;
      return champion;
    };
    given.models = [] {
      TrainerReports all;
      all.models.resize(2);
      all.models[0].model = "a";
      all.models[1].model = "b";
      for (TrainerReport& model : all.models) model.rows = 7;
      all.champion_index = 1;
      all.twins.push_back({.task = "ctr", .twin = "twin.ctr", .blocks = 30, .difference = 0.25});
      return all;
    };
    start(std::move(given));
  }
};

TEST_F(ChampionTest, IsAskedForByName) {
  serve();
  const HttpReply reply = post("/v1/admin/champion", R"({"model": "b"})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr("\"message\":\"the model b is the champion now\""));
  EXPECT_THAT(reply.body, HasSubstr("\"models\":[\"a\",\"b\"]"));
  ASSERT_EQ(commands.size(), 1U);
  EXPECT_EQ(commands[0].kind, TrainerCommand::Kind::kChampion);
  EXPECT_EQ(commands[0].model, "b");
}

// While its own weights are held and no good ones are there, another model answers for it.
TEST_F(ChampionTest, TheStatusTellsWhoAnswersForIt) {
  serve();
  EXPECT_THAT(get("/v1/admin/status").body,
              HasSubstr("\"model\":\"b\",\"served\":{\"model\":\"b\",\"version\":\"1287.3\"}"));
  Publication another = first_publication(schema, model_options);
  another.shape =
      std::make_shared<const ServedShape>(ServedShape{"a", model_options, Projection(schema)});
  serving.apply(another, {1300, 1});
  const std::string body = get("/v1/admin/status").body;
  EXPECT_THAT(body,
              HasSubstr("\"model\":\"b\",\"served\":{\"model\":\"a\",\"version\":\"1300.1\"}"));
  EXPECT_THAT(body, HasSubstr("\"versions\":{\"a\":\"1300.1\"}"));
  EXPECT_THAT(get("/v1/tasks").body, HasSubstr("{\"model\":\"b\",\"version\":null,"));
  EXPECT_THAT(get("/v1/tasks?model=a").body, HasSubstr("{\"model\":\"a\",\"version\":\"1300.1\","));
}

TEST_F(ChampionTest, WhatIsWrongIsToldAndNothingIsAsked) {
  serve();
  expect_error(post("/v1/admin/champion", ""), 400, "no JSON");
  expect_error(post("/v1/admin/champion", "[]"), 400, "expected an object");
  expect_error(post("/v1/admin/champion", "{}"), 400, "expected an object like");
  expect_error(post("/v1/admin/champion", R"({"model": 7})"), 400, "expected a name");
  expect_error(post("/v1/admin/champion", R"({"task": "ctr"})"), 400, "expected model");
  EXPECT_EQ(post("/v1/admin/champion", "model=b", "Content-Type: text/csv\r\n").status, 415);
  EXPECT_TRUE(commands.empty());
  answer = {CommandAnswer::Status::kRefused, "there is no model c"};
  expect_error(post("/v1/admin/champion", R"({"model": "c"})"), 400, "there is no model c");
  answer = {CommandAnswer::Status::kUnavailable, "learning has ended"};
  expect_error(post("/v1/admin/champion", R"({"model": "b"})"), 503, "learning has ended");
}

TEST_F(ChampionTest, TasksTellOfEveryModelAndTwin) {
  serve();
  const std::string body = get("/v1/tasks").body;
  EXPECT_THAT(body, HasSubstr("{\"model\":\"b\""));
  EXPECT_THAT(body, HasSubstr("\"models\":{\"a\":{\"rows\":7,"));
  EXPECT_THAT(body, HasSubstr("\"twins\":[{\"task\":\"ctr\",\"twin\":\"twin.ctr\",\"blocks\":30,"));
}

// A model of other experts and fewer features takes the place of the first, and goes again.
TEST_F(ChampionTest, NoRequestFailsWhileTheServedModelChanges) {
  serve();
  std::vector<int> tasks, features;
  for (std::size_t k = 0; k < schema.tasks().size(); ++k) tasks.push_back(static_cast<int>(k));
  for (std::size_t f = 1; f < schema.features().size(); ++f) {
    features.push_back(static_cast<int>(f));
  }
  ModelOptions other = model_options;
  other.experts = 2;
  const auto a =
      std::make_shared<const ServedShape>(ServedShape{"a", model_options, Projection(schema)});
  const auto b = std::make_shared<const ServedShape>(
      ServedShape{"b", other, Projection(schema, tasks, features)});
  const std::string body = contract_file("score-request.json");
  std::atomic<bool> done{false};
  std::atomic<int> failed{0}, of_a{0}, of_b{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&] {
      while (!done) {
        const HttpReply reply = post("/v1/score", body);
        failed += reply.status == 200 ? 0 : 1;
        of_a += reply.body.find("\"model\":\"a\"") != std::string::npos ? 1 : 0;
        of_b += reply.body.find("\"model\":\"b\"") != std::string::npos ? 1 : 0;
      }
    });
  }
  for (std::uint64_t version = 0; version < 200 || of_a == 0 || of_b == 0; ++version) {
    const auto& shape = version % 2 == 0 ? a : b;
    Publication publication = first_publication(shape->projection.schema(), shape->options);
    publication.shape = shape;
    publication.seen = EventTime{1'000'000};
    serving.apply(publication, {2'000, version});
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  done = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace millrace
