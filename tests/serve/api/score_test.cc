// The scoring API answers as the contract says, over a real socket: the contract's own request in
// the form of the contract's own answer, and every documented case beside it.
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <thread>

#include "learner/publish/scorer.h"
#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

namespace json = boost::json;

struct ScoreTest : ServingTest {
  void SetUp() override {
    ServingTest::SetUp();
    publish_first();
    start();
  }
  json::object ask(const std::string& path, const std::string& body) {
    const HttpReply reply = post(path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return json::parse(reply.body).as_object();
  }
  json::object score(const std::string& body) { return ask("/v1/score", body); }
};

std::vector<std::string> keys_of(const json::object& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object) keys.emplace_back(key);
  return keys;
}

TEST_F(ScoreTest, ContractsRequestHasTheFormOfTheContractsAnswer) {
  const auto answer = score(contract_file("score-request.json"));
  const auto expected = json::parse(contract_file("score-response.json")).as_object();
  EXPECT_EQ(keys_of(answer), keys_of(expected));
  EXPECT_EQ(answer.at("model"), "shop");
  EXPECT_EQ(answer.at("version"), "1287.3");
  EXPECT_EQ(answer.at("age_seconds"), 0.42);
  EXPECT_EQ(answer.at("unknown_ids").to_number<double>(), 0);
  const auto& results = answer.at("results").as_array();
  const auto& wanted = expected.at("results").as_array();
  ASSERT_EQ(results.size(), wanted.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& result = results[i].as_object();
    EXPECT_EQ(keys_of(result), keys_of(wanted[i].as_object()));
    EXPECT_EQ(result.at("id"), wanted[i].as_object().at("id"));
    const auto& tasks = result.at("tasks").as_object();
    EXPECT_EQ(keys_of(tasks), keys_of(wanted[i].as_object().at("tasks").as_object()));
    const double ctr = tasks.at("ctr").to_number<double>();
    const double cvr = tasks.at("cvr").to_number<double>();
    const double like = tasks.at("like").to_number<double>();
    EXPECT_GT(ctr, 0);
    EXPECT_LT(ctr, 1);
    EXPECT_NEAR(result.at("score").to_number<double>(), ctr * std::sqrt(cvr) * (1 + like), 1e-6);
  }
  EXPECT_NE(results[0].as_object().at("score"), results[1].as_object().at("score"));
}

// The numbers are those of the scorer on the encoder's batch, to the last digit.
TEST_F(ScoreTest, NumbersAreTheScorersToTheLastDigit) {
  FeatureBuilder builder(schema);
  EncodedFeatures encoded;
  Batch context = empty_batch(schema, Stream::kAtOnce), rows = context;
  ASSERT_TRUE(builder.set_text(0, "u7") && builder.set_text(1, "DE"));
  builder.finish(encoded);
  append_features(schema, encoded, context);
  ASSERT_TRUE(builder.set_text(2, "m3") && builder.set_number(4, 12.5));
  ASSERT_TRUE(builder.begin_list(3) && builder.set_text(3, "drama") && builder.set_text(3, "new") &&
              builder.end_list(3));
  builder.finish(encoded);
  append_features(schema, encoded, rows);
  Scorer scorer(schema, model_options);
  Scores scores;
  scorer.score(serving, context, rows, scores);

  const auto answer =
      score(R"({"candidates":[{"price":12.5,"genres":["drama","new"],"item_id":"m3"}],)"
            R"("context":{"country":"DE","user_id":"u7"}})");
  const auto& tasks = answer.at("results").as_array()[0].as_object().at("tasks").as_object();
  for (std::size_t t = 0; t < 4; ++t) {
    EXPECT_EQ(static_cast<float>(tasks.at(schema.tasks()[t].name).to_number<double>()),
              scores.values[t]);
  }
  EXPECT_EQ(answer.at("unknown_ids").to_number<double>(), 0.2);
}

TEST_F(ScoreTest, IdsAreEchoedAsTheyCame) {
  const HttpReply reply =
      post("/v1/score", R"({"candidates":[{"id":7},{"id":"a\u0041\"x"},{},{"id":null},{"id":-3},)"
                        R"({"id":18446744073709551615},{"id":"ü"}]})");
  EXPECT_EQ(reply.status, 200);
  std::string ids;
  for (std::size_t at = 0; (at = reply.body.find("{\"id\":", at)) != std::string::npos;) {
    at += 6;
    ids += reply.body.substr(at, reply.body.find(",\"score\"", at) - at) + " ";
  }
  EXPECT_EQ(ids, R"(7 "a\u0041\"x" null null -3 18446744073709551615 "ü" )");
}

TEST_F(ScoreTest, NoCandidatesAreEmptyResults) {
  for (const char* body : {R"({"context":{"user_id":"u7"},"candidates":[]})", R"({})",
                           R"({"candidates":null,"context":null,"tasks":null})"}) {
    const auto answer = score(body);
    EXPECT_TRUE(answer.at("results").as_array().empty()) << body;
    EXPECT_EQ(answer.at("version"), "1287.3");
  }
}

TEST_F(ScoreTest, TasksAreSelected) {
  const auto answer = score(R"({"candidates":[{"item_id":"m3"}],"tasks":["like","ctr"]})");
  const auto& result = answer.at("results").as_array()[0].as_object();
  EXPECT_EQ(keys_of(result.at("tasks").as_object()), (std::vector<std::string>{"ctr", "like"}));
  // The score is the same as without the selection.
  const auto all = score(R"({"candidates":[{"item_id":"m3"}]})");
  EXPECT_EQ(result.at("score"), all.at("results").as_array()[0].as_object().at("score"));
}

TEST_F(ScoreTest, OtherFeaturesComeFromTheCandidateElseFromTheContext) {
  auto tasks_of = [&](const std::string& body) {
    return json::serialize(score(body).at("results").as_array());
  };
  const std::string own =
      R"({"context":{"user_id":"u7"},"candidates":[)"
      R"({"id":1,"item_id":"m3","genres":["drama"],"price":2,"taste":[1,2,3,4,5,6,7,8]},)"
      R"({"id":2,"item_id":"m9","genres":["drama"],"price":2,"taste":[0,0,0,0,0,0,0,0]},)"
      R"({"id":3,"item_id":"m9","genres":[],"price":7,"taste":[1,2,3,4,5,6,7,8]}]})";
  const std::string shared =
      R"({"candidates":[{"id":1,"item_id":"m3"},{"id":2,"taste":[0,0,0,0,0,0,0,0],"price":null},)"
      R"({"id":3,"genres":[],"price":7}],"context":{"user_id":"u7","item_id":"m9",)"
      R"("genres":["drama"],"price":2,"taste":[1,2,3,4,5,6,7,8]}})";
  EXPECT_EQ(tasks_of(own), tasks_of(shared));
}

TEST_F(ScoreTest, IntegersBooleansAndTextAreOneKey) {
  const auto answer =
      score(R"({"context":{"user_id":7},"candidates":[{"item_id":9,"genres":[true]},)"
            R"({"item_id":"9","genres":["true"]}]})");
  const auto& results = answer.at("results").as_array();
  EXPECT_EQ(results[0].as_object().at("score"), results[1].as_object().at("score"));
}

TEST_F(ScoreTest, UnknownNamesAreIgnoredAndCounted) {
  const auto before = server->probe().unknown_features.load();
  const auto plain = score(R"({"context":{"user_id":"u7"},"candidates":[{"item_id":"m3"}]})");
  const auto more = score(R"({"x":[1,{"y":[null,"}"]}],"context":{"user_id":"u7","age":{"a":1}},)"
                          R"("candidates":[{"item_id":"m3","colour":"red","n":-1.5e3}]})");
  EXPECT_EQ(plain.at("results"), more.at("results"));
  EXPECT_EQ(server->probe().unknown_features.load() - before, 4U);
}

TEST_F(ScoreTest, UnknownIdsAreTheShareWithoutARow) {
  // u7, m3, drama have rows; ZZ, m1, noir do not. A missing value is in neither count.
  const auto answer = score(R"({"context":{"user_id":"u7","country":"ZZ"},"candidates":[)"
                            R"({"item_id":"m3","genres":["drama","noir"]},{"item_id":"m1"},{}]})");
  EXPECT_DOUBLE_EQ(answer.at("unknown_ids").to_number<double>(), 3.0 / 6);
  EXPECT_EQ(score(R"({"candidates":[{}]})").at("unknown_ids").to_number<double>(), 0);
}

TEST_F(ScoreTest, RepeatedNamesTakeTheLaterValue) {
  const auto twice = score(
      R"({"candidates":[{"item_id":"m9"},{}],"context":{"country":"DE"},)"
      R"("context":{"user_id":"u7"},"candidates":[{"item_id":"x","id":1,"item_id":"m3","id":2}]})");
  const auto once = score(R"({"context":{"user_id":"u7"},"candidates":[{"item_id":"m3","id":2}]})");
  EXPECT_EQ(twice.at("results"), once.at("results"));
}

TEST_F(ScoreTest, AgeIsNullBeforeAnyRow) {
  Publication publication = first_publication(schema, model_options);
  serving.apply(publication, {1288, 0});
  EXPECT_TRUE(score("{}").at("age_seconds").is_null());
}

TEST_F(ScoreTest, RankSortsTiesInOrderAndCutsAtK) {
  const std::string candidates =
      R"("candidates":[{"id":1,"item_id":"m9"},{"id":2,"item_id":"m3"},{"id":3,"item_id":"m9"},)"
      R"({"id":4,"item_id":"m3"},{"id":5,"item_id":"m9"}])";
  auto ids = [](const json::object& answer) {
    std::vector<std::int64_t> ids;
    for (const auto& result : answer.at("results").as_array()) {
      ids.push_back(result.as_object().at("id").as_int64());
    }
    return ids;
  };
  const auto scored = score("{" + candidates + "}");
  EXPECT_EQ(ids(scored), (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  const auto& first = scored.at("results").as_array()[0].as_object();
  const auto& second = scored.at("results").as_array()[1].as_object();
  const bool nine_wins =
      first.at("score").to_number<double>() > second.at("score").to_number<double>();
  const std::vector<std::int64_t> order = nine_wins ? std::vector<std::int64_t>{1, 3, 5, 2, 4}
                                                    : std::vector<std::int64_t>{2, 4, 1, 3, 5};
  EXPECT_EQ(ids(ask("/v1/rank", "{" + candidates + "}")), order);
  EXPECT_EQ(ids(ask("/v1/rank", "{\"k\":3," + candidates + "}")),
            std::vector<std::int64_t>(order.begin(), order.begin() + 3));
  EXPECT_EQ(ids(ask("/v1/rank", "{" + candidates + ",\"k\":99}")), order);
  EXPECT_EQ(ids(ask("/v1/rank", "{" + candidates + ",\"k\":null}")), order);
  // /v1/score does not know k.
  EXPECT_EQ(ids(score("{" + candidates + ",\"k\":\"x\"}")).size(), 5U);
}

TEST_F(ScoreTest, ManyCandidatesAreScoredAsAlone) {
  std::string body = R"({"context":{"user_id":"u7","country":"DE"},"candidates":[)";
  for (int i = 0; i < 700; ++i) {
    body += std::string(i > 0 ? "," : "") + R"({"item_id":")" + (i % 3 == 0 ? "m3" : "m9") +
            R"(","price":)" + std::to_string(i % 7) + "}";
  }
  const auto answer = score(body + "]}");
  const auto& results = answer.at("results").as_array();
  ASSERT_EQ(results.size(), 700U);
  for (const int i : {0, 255, 256, 300, 511, 512, 699}) {
    const auto alone = score(
        R"({"context":{"user_id":"u7","country":"DE"},"candidates":[{"item_id":")" +
        std::string(i % 3 == 0 ? "m3" : "m9") + R"(","price":)" + std::to_string(i % 7) + "}]}");
    EXPECT_NEAR(alone.at("results").as_array()[0].as_object().at("score").to_number<double>(),
                results[static_cast<std::size_t>(i)].as_object().at("score").to_number<double>(),
                1e-6);
  }
}

struct FormulaTest : ServingTest {
  void serve_with(const std::string& text) {
    use_formula(text);
    publish_first();
    start();
  }
};

TEST_F(FormulaTest, NotFiniteScoreIsNullRankedLastAndCounted) {
  // Not finite exactly for the first candidate: its price sends like's and ctr's ways apart, so the
  // formula is chosen to fail on all but compare within one request.
  serve_with("log(dwell - 3)");
  const HttpReply reply = post(
      "/v1/rank",
      R"({"candidates":[{"id":1,"taste":[9,9,9,9,9,9,9,9]},{"id":2,"taste":[-9,9,-9,9,-9,9,-9,9]},)"
      R"({"id":3},{"id":4,"taste":[-9,-9,-9,-9,-9,-9,-9,-9]}]})");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto parsed = json::parse(reply.body).as_object();
  int nulls = 0;
  double last = INFINITY;
  for (const auto& result : parsed.at("results").as_array()) {
    const auto& value = result.as_object().at("score");
    const double dwell = result.as_object().at("tasks").as_object().at("dwell").to_number<double>();
    EXPECT_EQ(value.is_null(), dwell <= 3) << dwell;
    if (value.is_null()) {
      ++nulls;
      continue;
    }
    EXPECT_EQ(nulls, 0) << "a score behind a null";
    EXPECT_LE(value.to_number<double>(), last);
    last = value.to_number<double>();
  }
  EXPECT_GT(nulls, 0);
  EXPECT_EQ(server->probe().not_finite.load(), static_cast<std::uint64_t>(nulls));
}

// Row 1 of one version and dense weights of another would not add up: version n answers 1001·n.
struct SwapTest : ServingTest {
  SwapTest() : ServingTest(one_feature(), one_task(), one_path()) {}
  static std::vector<Feature> one_feature() {
    std::vector<Feature> features(2);
    features[0].name = "item";
    features[0].dimension = 1;
    features[1].name = "user";
    features[1].dimension = 1;
    features[1].context = true;
    return features;
  }
  static std::vector<Task> one_task() {
    std::vector<Task> tasks(1);
    tasks[0].name = "value";
    tasks[0].kind = TaskKind::kRegression;
    return tasks;
  }
  static ModelOptions one_path() {
    ModelOptions options;
    options.experts = 1;
    options.expert_layers = {1};
    options.tower_layers = {1};
    return options;
  }
  // value = item's row + user's row + bias, through weights of 1.
  Publication version(std::uint64_t n, bool complete) const {
    Publication publication = first_publication(schema, model_options);
    publication.complete = complete;
    auto dense = std::make_shared<DenseWeights>();
    const Model<float> model(schema, model_options);
    for (const ParameterSlot& slot : model.parameters()) {
      const bool is_path = slot.name.ends_with("weight") && !slot.name.starts_with("gate");
      dense->parameters.resize(static_cast<std::size_t>(model.parameter_count()));
      for (int r = 0; r < slot.rows && is_path; ++r) {
        dense->parameters[static_cast<std::size_t>(slot.offset + r * slot.stride)] = 1;
      }
    }
    dense->parameters[static_cast<std::size_t>(model.output_bias(0))] =
        static_cast<float>(n) * 1000;
    dense->labels = {{0, 1e9F}};
    publication.dense = dense;
    put_row(schema, "item", "i", publication);
    put_row(schema, "user", "u", publication);
    for (TableUpdate& table : publication.tables) table.rows = {static_cast<float>(n) / 2};
    return publication;
  }
};

TEST_F(SwapTest, EachAnswerIsOfExactlyOneVersionWhileTheySwap) {
  serving.apply(version(1, true), {1, 1});
  start();
  std::atomic<bool> done{false};
  std::thread publisher([&] {
    for (std::uint64_t n = 2; n <= 1001; ++n) {
      serving.apply(version(n, n % 100 == 0), {1, n});
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    done = true;
  });
  HttpClient client(server->port());
  const std::string request = http_request(
      "POST", "/v1/score",
      R"({"context":{"user":"u"},"candidates":[{"item":"i"},{"item":"i"},{"item":"i"}]})");
  std::uint64_t last = 0;
  int answers = 0;
  while (!done || answers < 100) {
    ASSERT_TRUE(client.send(request));
    const auto reply = client.receive();
    ASSERT_TRUE(reply && reply->status == 200);
    const auto answer = json::parse(reply->body).as_object();
    const std::uint64_t n = std::stoul(std::string(answer.at("version").as_string()).substr(2));
    ASSERT_GE(n, last);
    last = n;
    for (const auto& result : answer.at("results").as_array()) {
      ASSERT_EQ(result.as_object().at("score").to_number<double>(), static_cast<double>(n) * 1001);
    }
    ++answers;
  }
  publisher.join();
  EXPECT_GT(answers, 20);
}

}  // namespace
}  // namespace millrace
