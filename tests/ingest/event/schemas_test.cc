// The schemas' examples are events: what their pages show is what the decoder takes.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "ingest/encode/simdjson_inner.h"
#include "ingest/event/decode.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

namespace dom = simdjson::dom;

struct Case {
  std::string schema;
  std::string topic;
  std::size_t kind;  // index of Event
};

TEST(Schemas, ExamplesAreEvents) {
  const Schema schema = shop_schema();
  const EventTypes types = shop_events();
  Decoder decoder(schema, types);
  for (const Case& c : {Case{"impression", "impressions", 0}, Case{"outcome", "clicks", 1},
                        Case{"sample", "samples", 2}}) {
    dom::parser parser;
    dom::element root;
    const std::string path = SOURCE_DIR "/ingest/schemas/" + c.schema + ".json";
    ASSERT_EQ(parser.load(path).get(root), simdjson::SUCCESS) << path;
    dom::array examples;
    ASSERT_EQ(root["examples"].get_array().get(examples), simdjson::SUCCESS);
    int count = 0;
    for (const dom::element example : examples) {
      const std::string record = simdjson::minify(example);
      const bool typed = example["type"].error() == simdjson::SUCCESS;
      const auto result =
          typed ? decoder.decode_line(record, 1 << 20) : decoder.decode(c.topic, record, 1 << 20);
      ASSERT_TRUE(result) << record << "\n" << result.error().message;
      EXPECT_EQ(result->index(), c.kind) << record;
      ++count;
    }
    EXPECT_GE(count, 2);
  }
  EXPECT_EQ(decoder.counts().unknown_features, 0u);
}

// Every field that the decoder judges is described, by its name.
TEST(Schemas, DescribeEveryField) {
  const auto fields_of = [](const std::string& name) {
    dom::parser parser;
    dom::element root;
    EXPECT_EQ(parser.load(SOURCE_DIR "/ingest/schemas/" + name + ".json").get(root),
              simdjson::SUCCESS);
    dom::object properties;
    EXPECT_EQ(root["properties"].get_object().get(properties), simdjson::SUCCESS);
    std::set<std::string> fields;
    for (const auto field : properties) fields.emplace(field.key);
    return fields;
  };
  const std::set<std::string> shown{"type",       "impression_id", "time",
                                    "features",   "sampling_rate", "user",
                                    "propensity", "position",      "slice"};
  std::set<std::string> sample = shown;
  sample.insert("labels");
  EXPECT_EQ(fields_of("impression"), shown);
  EXPECT_EQ(fields_of("sample"), sample);
  EXPECT_EQ(fields_of("outcome"),
            (std::set<std::string>{"type", "impression_id", "time", "event_id", "value"}));
}

}  // namespace
}  // namespace millrace
