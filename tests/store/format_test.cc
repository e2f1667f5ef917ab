// The page of the format tells the truth: each worked example is what the code writes.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "learner/base/hash.h"
#include "store/database.h"
#include "store/store.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

template <class T>
std::string bytes_of(T value) {
  ByteWriter writer;
  writer.put(value);
  return writer.take();
}

TEST(Format, TheExamplesAreWhatTheCodeWrites) {
  StateChanges join;
  ByteWriter clock;
  clock.put(std::int64_t{1'699'999'970'000});
  clock.put(std::int64_t{1'700'000'000'000});
  join.values.push_back({"clock", clock.take(), false});
  join.sizes.push_back({"impressions", 4096});
  EntryWriter cold;
  cold.put("a", "1.5");
  cold.put("b", "2.5");
  ByteWriter directory;
  directory.put(std::int64_t{1'699'999'990'000});
  directory.put(static_cast<std::uint32_t>(cold.size()));
  directory.put(std::uint32_t{2});
  for (const char* id : {"a", "b"}) {
    directory.put(static_cast<std::uint32_t>(hash_bytes(id) >> 31));
    directory.put(static_cast<std::uint8_t>(hash_bytes(id) >> 63));
  }
  join.cold_blocks.push_back(
      {"impressions", 3, std::make_shared<const std::string>(cold.take()), directory.take()});
  join.cold_left.push_back({"impressions", 3, "\x02"});

  StateChanges model;
  ByteWriter row;
  row.put(0.5F);
  row.put(0.25F);
  row.put(std::uint32_t{1'700'000'000});
  EntryWriter entries;
  entries.erase(bytes_of(std::uint64_t{7}));
  entries.put(bytes_of(std::uint64_t{0x0123456789abcdef}), row.bytes());
  model.blocks.push_back({"rows/item_id", entries.take()});

  const TempFolder folder;
  Store::open(folder / "store", Store::Access::kWrite)
      ->write({42, {{"join", join}, {"model/shop", model}}});
  std::map<std::string, std::string> written;  // in the form of the page
  const auto database = Database::open(folder / "store/db", Database::Access::kRead);
  for (const Family family : {Family::kMeta, Family::kValues, Family::kIndex, Family::kBlocks,
                              Family::kColdIndex, Family::kCold}) {
    database->scan(family, "", [&](std::string_view key, std::string_view value) {
      written["  " + hex(key) + "\n  " + hex(value) + "\n"] = std::string(key);
    });
  }
  EXPECT_EQ(written.size(), 11u) << "the marks of the other families are one line of the page";

  std::ostringstream page;
  page << std::ifstream(SOURCE_DIR "/store/FORMAT.md").rdbuf();
  for (const auto& [lines, key] : written) {
    EXPECT_NE(page.str().find(lines), std::string::npos) << key << '\n' << lines;
  }
}

}  // namespace
}  // namespace millrace
