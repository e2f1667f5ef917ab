// Each first outcome counts once, in the smallest part of the window that holds its delay.
#include "ingest/join/label_delays.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

EventTypes types() {
  EventTypes types;
  types.outcomes = {{"click", "clicks", Duration{64'000}}, {"buy", "buys", Duration{1'000}}};
  return types;
}

TEST(LabelDelays, CountsByTheSmallestPartThatHolds) {
  LabelDelays delays(types());
  const Duration window{64'000};
  // On the edge belongs to the part; one beyond to the next.
  for (const std::int64_t ms : {-5, 0, 1'000, 1'001, 2'000, 2'001, 32'000, 32'001, 64'000}) {
    delays.applied(0, Duration{ms}, window);
  }
  delays.out_of_window(1);
  const LabelDelays::Of& click = delays.all()[0];
  EXPECT_EQ(click.within, (std::array<std::uint64_t, 7>{3, 2, 1, 0, 0, 1, 2}));
  EXPECT_EQ(click.applied(), 9U);
  EXPECT_DOUBLE_EQ(click.share(0), 3.0 / 9);
  EXPECT_DOUBLE_EQ(click.share(5), 7.0 / 9);
  EXPECT_DOUBLE_EQ(click.share(6), 1);
  EXPECT_EQ(delays.all()[1].out_of_window, 1U);
  EXPECT_EQ(delays.all()[1].share(6), 0);
  EXPECT_EQ(label_delay_part(0), "1/64");
  EXPECT_EQ(label_delay_part(6), "1");
}

TEST(LabelDelays, AreKeptByTheirNames) {
  LabelDelays delays(types());
  delays.applied(1, Duration{10}, Duration{1'000});
  ByteWriter writer;
  delays.save(writer);
  EventTypes others = types();
  std::swap(others.outcomes[0], others.outcomes[1]);
  others.outcomes.push_back({"like", "likes", Duration{5}});
  LabelDelays restored(others);
  ByteReader reader(writer.bytes());
  restored.restore(reader);
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(restored.all()[0], delays.all()[1]);
  EXPECT_EQ(restored.all()[2].applied(), 0U);
}

}  // namespace
}  // namespace millrace
