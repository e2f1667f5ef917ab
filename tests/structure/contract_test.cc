// The contract's files, used unchanged: users have files like them.
#include <gtest/gtest.h>

#include "ingest/event/decode.h"
#include "ops/config/load.h"
#include "tests/structure/source_tree.h"

namespace millrace {
namespace {

const std::string kFolder = SOURCE_DIR "/tests/data/contract/";

TEST(Contract, ConfigurationLoadsWithoutAWarning) {
  const auto loaded = load_config(kFolder + "millrace.yaml", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_TRUE(loaded->warnings.empty());
  EXPECT_EQ(loaded->config.schema().features().size(), 6u);
}

TEST(Contract, EventsDecode) {
  const auto loaded = load_config(kFolder + "millrace.yaml", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const Schema schema = loaded->config.schema();
  Decoder decoder(schema, loaded->config.events);
  std::size_t impressions = 0, outcomes = 0;
  for (const std::string& line : lines_of("tests/data/contract/events.jsonl")) {
    const auto event = decoder.decode_line(line, 1 << 20);
    ASSERT_TRUE(event) << line << "\n" << event.error().message;
    impressions += std::holds_alternative<Impression>(*event) ? 1 : 0;
    outcomes += std::holds_alternative<Outcome>(*event) ? 1 : 0;
  }
  EXPECT_EQ(impressions, 2u);
  EXPECT_EQ(outcomes, 4u);
}

}  // namespace
}  // namespace millrace
