// POST /v1/score?model=NAME: another model than the champion scores, over HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "learner/publish/served_models.h"
#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

struct ScoreByModelTest : ServingTest {
  ServedModels served{serving};

  std::shared_ptr<const ServedShape> shape(const char* name, std::vector<int> tasks,
                                           const ModelOptions& options) const {
    std::vector<int> features;
    for (std::size_t f = 0; f < schema.features().size(); ++f) {
      features.push_back(static_cast<int>(f));
    }
    return std::make_shared<const ServedShape>(
        ServedShape{name, options, Projection(schema, std::move(tasks), std::move(features))});
  }
  Publication publication(const std::shared_ptr<const ServedShape>& shape, float shift) const {
    Publication publication = first_publication(shape->projection.schema(), shape->options);
    auto dense = std::make_shared<DenseWeights>(*publication.dense);
    const Model<float> model(shape->projection.schema(), shape->options);
    for (int t = 0; t < model.tasks(); ++t) {
      dense->parameters[static_cast<std::size_t>(model.output_bias(t))] += shift;
    }
    publication.dense = dense;
    publication.shape = shape;
    publication.seen = EventTime{1'000'000};
    return publication;
  }

  // Three models: a is the champion, b has other experts, c knows but two of the tasks.
  void serve(bool all = true) {
    ModelOptions other = model_options;
    other.experts = 2;
    serving.apply(publication(shape("a", {0, 1, 2, 3}, model_options), 0), {7, 1});
    served.apply({"b", publication(shape("b", {0, 1, 2, 3}, other), 1)}, {7, 1});
    served.apply({"c", publication(shape("c", {2, 3}, model_options), 2)}, {7, 1});
    ServeParts given = parts();
    if (all) given.served = &served;
    given.models = [] {
      TrainerReports reports;
      for (const char* name : {"a", "b", "c", "late"}) reports.models.emplace_back().model = name;
      return reports;
    };
    start(std::move(given));
  }
  boost::json::object score(const std::string& query, const std::string& path = "/v1/score") {
    const HttpReply reply = post(path + query, contract_file("score-request.json"));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return boost::json::parse(reply.body).as_object();
  }
};

double task_of(const boost::json::object& answer, const char* task) {
  return answer.at("results").at(0).at("tasks").at(task).as_double();
}

TEST_F(ScoreByModelTest, EachModelScores) {
  serve();
  const auto champion = score(""), a = score("?model=a"), b = score("?model=b");
  EXPECT_EQ(champion.at("model"), "a");
  EXPECT_EQ(champion, a);
  EXPECT_EQ(b.at("model"), "b");
  EXPECT_EQ(b.at("version"), "7.1");
  EXPECT_NE(task_of(a, "ctr"), task_of(b, "ctr"));
  EXPECT_EQ(b.at("results").as_array().size(), 2U);
  // And again, by turns: a scorer is there for each.
  EXPECT_EQ(score("?model=b"), b);
  EXPECT_EQ(score(""), champion);
  EXPECT_EQ(score("?model=b", "/v1/rank").at("model"), "b");
}

TEST_F(ScoreByModelTest, AModelOfSomeTasksAnswersWithThem) {
  serve();
  const auto c = score("?model=c");
  EXPECT_EQ(c.at("model"), "c");
  const boost::json::object& result = c.at("results").at(0).as_object();
  EXPECT_TRUE(result.at("score").is_null()) << "its formula needs ctr";
  EXPECT_EQ(result.at("tasks").as_object().size(), 2U);
  EXPECT_GT(task_of(c, "dwell"), 0);
  EXPECT_GT(task_of(c, "like"), 0.5);
}

TEST_F(ScoreByModelTest, AModelThatIsNotServedIsToldWithThoseThatAre) {
  serve();
  const std::string body = contract_file("score-request.json");
  expect_error(post("/v1/score?model=x", body), 404, "there is no model x");
  expect_error(post("/v1/score?model=x", body), 404, "are served: a, b, c");
  expect_error(post("/v1/rank?model=", body), 404, "are served: a, b, c");
  expect_error(post("/v1/score?model=late", body), 404,
               "the model late has no version that is served");
}

TEST_F(ScoreByModelTest, TheChampionAloneMayBeServed) {
  serve(false);
  const std::string body = contract_file("score-request.json");
  EXPECT_EQ(score("?model=a").at("model"), "a");
  expect_error(post("/v1/score?model=b", body), 404, "the model b is not served");
}

TEST_F(ScoreByModelTest, OneModelHasTheConfigurationsName) {
  publish_first();
  start();
  EXPECT_EQ(score("?model=shop"), score(""));
  expect_error(post("/v1/score?model=x", contract_file("score-request.json")), 404,
               "are served: shop");
}

}  // namespace
}  // namespace millrace
