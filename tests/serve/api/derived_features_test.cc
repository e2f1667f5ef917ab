// Crosses and buckets of a request are those of training: a row under the key that a training batch
// has is the row that a request finds, wherever in it the parts stand.
#include <boost/json.hpp>

#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

namespace json = boost::json;

std::vector<Feature> features() {
  std::vector<Feature> features = contract_features();
  features[4].buckets = 10;  // price
  features[4].range = {0, 100};
  features[4].dimension = 4;
  Feature cross;
  cross.name = "user_x_item_x_price";
  cross.kind = FeatureKind::kCross;
  cross.dimension = 8;
  cross.of = {"user_id", "item_id", "price"};
  features.push_back(cross);
  return features;
}

struct DerivedFeaturesTest : ServingTest {
  DerivedFeaturesTest() : ServingTest(features(), contract_tasks(), ModelOptions{}) {}

  double score(const std::string& body) {
    const HttpReply reply = post("/v1/score", body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    const json::object answer = json::parse(reply.body).as_object();
    unknown_ids = answer.at("unknown_ids").to_number<double>();
    return answer.at("results").as_array()[0].as_object().at("score").to_number<double>();
  }
  double unknown_ids = 0;
};

TEST_F(DerivedFeaturesTest, ARequestFindsTheRowsOfTraining) {
  FeatureBuilder builder(schema);
  ASSERT_TRUE(builder.set_text(0, "u7") && builder.set_text(2, "m3") && builder.set_number(4, 55));
  EncodedFeatures encoded;
  builder.finish(encoded);
  Batch training = empty_batch(schema, Stream::kMatured);
  append_features(schema, encoded, training);

  const std::string whole = R"({"context":{"user_id":"u7"},)"
                            R"("candidates":[{"item_id":"m3","price":55}]})";
  const std::string from_context = R"({"candidates":[{"item_id":"m3"}],)"
                                   R"("context":{"user_id":"u7","price":58}})";
  const std::string other_bucket = R"({"context":{"user_id":"u7"},)"
                                   R"("candidates":[{"item_id":"m3","price":65}]})";
  const std::string no_price = R"({"context":{"user_id":"u7"},"candidates":[{"item_id":"m3"}]})";
  const std::string named = R"({"context":{"user_id":"u7","user_x_item_x_price":"a"},)"
                            R"("candidates":[{"item_id":"m3","price":55,)"
                            R"("user_x_item_x_price":[3]}]})";
  publish_first();
  start();
  const double neutral = score(whole), other = score(other_bucket), without = score(no_price);
  EXPECT_EQ(score(from_context), neutral);
  EXPECT_EQ(other, neutral);  // no bucket has a row yet
  EXPECT_EQ(without, neutral);
  EXPECT_EQ(unknown_ids, 0);

  Publication update;
  update.tables.resize(schema.tables().size());
  const auto put = [&](int feature) {
    const int table = schema.table_of(feature);
    TableUpdate& rows = update.tables[static_cast<std::size_t>(table)];
    rows.keys.push_back(
        training.columns[static_cast<std::size_t>(schema.column_of(feature))].keys[0]);
    rows.rows.assign(
        static_cast<std::size_t>(schema.tables()[static_cast<std::size_t>(table)].dimension), 1.5F);
  };
  put(schema.find_feature("user_x_item_x_price"));
  serving.apply(update, {1288, 0});
  const double crossed = score(whole);
  EXPECT_NE(crossed, neutral);
  EXPECT_EQ(score(from_context), crossed);
  EXPECT_EQ(score(other_bucket), other);
  EXPECT_EQ(score(no_price), without);

  put(schema.find_feature("price"));
  serving.apply(update, {1289, 0});
  const double both = score(whole);
  EXPECT_NE(both, crossed);
  EXPECT_EQ(score(from_context), both);
  EXPECT_EQ(score(other_bucket), other);
  // A value for a cross is a name that nobody knows.
  EXPECT_EQ(score(named), both);
}

}  // namespace
}  // namespace millrace
