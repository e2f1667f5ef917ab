// Saved bytes come back as they were, and damaged ones are refused without a read beyond their end.
#include "learner/base/state.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace millrace {
namespace {

std::string written() {
  ByteWriter writer;
  writer.put(std::int64_t{-7});
  writer.put(std::numeric_limits<double>::denorm_min());
  writer.put_text("text with a \0 inside");
  writer.put_all(std::vector<float>{1.5F, -0.0F});
  writer.put_all(std::vector<std::uint64_t>{});
  return writer.take();
}

void read(std::string_view bytes) {
  ByteReader reader(bytes);
  EXPECT_EQ(reader.get<std::int64_t>(), -7);
  EXPECT_EQ(reader.get<double>(), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(reader.get_text(), "text with a \0 inside");
  const auto floats = reader.get_all<float>();
  ASSERT_EQ(floats.size(), 2U);
  EXPECT_TRUE(std::signbit(floats[1]));
  EXPECT_TRUE(reader.get_all<std::uint64_t>().empty());
  EXPECT_TRUE(reader.at_end());
}

TEST(Bytes, ComeBackAsTheyWere) { read(written()); }

TEST(Bytes, EveryCutIsRefused) {
  const std::string bytes = written();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(read(std::string_view(bytes).substr(0, size)), StateError) << size;
  }
}

TEST(Bytes, AnImpossibleCountTakesNoMemory) {
  ByteWriter writer;
  writer.put(std::numeric_limits<std::uint64_t>::max() / 8 + 1);
  ByteReader reader(writer.bytes());
  EXPECT_THROW(reader.get_all<double>(), StateError);
}

TEST(Entries, KeepTheirOrderAndKind) {
  EntryWriter writer;
  writer.put("a", "1");
  writer.erase("a");
  writer.put("", "");
  EXPECT_EQ(writer.count(), 3U);
  const std::string bytes = writer.take();
  EXPECT_EQ(writer.count(), 0U);
  EntryReader reader(bytes);
  EntryReader::Entry entry;
  ASSERT_TRUE(reader.next(entry));
  EXPECT_TRUE(entry.key == "a" && entry.value == "1" && !entry.erased);
  ASSERT_TRUE(reader.next(entry));
  EXPECT_TRUE(entry.key == "a" && entry.value.empty() && entry.erased);
  ASSERT_TRUE(reader.next(entry));
  EXPECT_TRUE(entry.key.empty() && entry.value.empty() && !entry.erased);
  EXPECT_FALSE(reader.next(entry));
  EntryReader cut(std::string_view(bytes).substr(0, bytes.size() - 1));
  EXPECT_THROW(
      {
        while (cut.next(entry)) {
        }
      },
      StateError);
}

}  // namespace
}  // namespace millrace
