// The JSON Schema knows the keys that the loader knows, and their defaults.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "ops/config/load.h"

namespace millrace {
namespace {

TEST(ConfigSchema, IsJsonThatDescribesEverySection) {
  const auto schema = boost::json::parse(print_config_schema());
  EXPECT_EQ(schema.at("additionalProperties"), false);
  const auto& properties = schema.at("properties").as_object();
  for (const char* key :
       {"name", "kafka", "events", "dead_letters", "join", "features", "embeddings", "tasks",
        "score", "model", "balance", "train", "store", "serve"}) {
    EXPECT_TRUE(properties.contains(key)) << key;
  }
  const auto& train = properties.at("train").at("properties");
  EXPECT_EQ(train.at("batch").at("default"), 256);
  EXPECT_EQ(train.at("batch").at("minimum"), 1);
  EXPECT_EQ(train.at("dense").at("properties").at("rate").at("default"), 0.003);
  EXPECT_EQ(train.at("batch_span").at("default"), "250ms");
  EXPECT_EQ(properties.at("model").at("properties").at("expert_layers").at("default"),
            boost::json::array({64, 64}));
  EXPECT_EQ(properties.at("model").at("properties").at("backbone").at("enum"),
            boost::json::array(
                {"shared_bottom", "mmoe", "cgc", "ple", "stem", "shared_specific", "separate"}));
  EXPECT_EQ(schema.at("required"), boost::json::array({"events", "features", "tasks"}));
}

}  // namespace
}  // namespace millrace
