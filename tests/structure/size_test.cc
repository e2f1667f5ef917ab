// A file has one idea, and fits in a reader's head.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/structure/source_tree.h"

namespace millrace {
namespace {

constexpr std::size_t kMostLines = 600;
constexpr std::size_t kMedianLines = 150;
constexpr std::size_t kNinetiethLines = 400;

TEST(Sizes, FilesAreSmall) {
  std::vector<std::size_t> sizes;
  for (const char* folder : {"learner", "ingest", "store", "serve", "ops", "tests"}) {
    for (const std::string& path : source_files(folder)) {
      const std::size_t lines = lines_of(path).size();
      EXPECT_LE(lines, kMostLines) << path;
      if (!path.starts_with("tests/")) sizes.push_back(lines);
    }
  }
  ASSERT_GT(sizes.size(), 50u) << "the test looked at the wrong tree";
  std::sort(sizes.begin(), sizes.end());
  EXPECT_LE(sizes[sizes.size() / 2], kMedianLines);
  EXPECT_LE(sizes[sizes.size() * 9 / 10], kNinetiethLines);
}

// A public header is the manual: what it promises stands in it.
TEST(Sizes, PublicHeadersExplainThemselves) {
  std::size_t lines = 0, comments = 0;
  for (const char* folder : {"learner", "ingest", "store", "serve", "ops"}) {
    for (const std::string& path : source_files(folder)) {
      if (!path.ends_with(".h") || path.ends_with("_inner.h")) continue;
      for (const std::string& line : lines_of(path)) {
        if (line.find_first_not_of(' ') == std::string::npos || line.starts_with("#")) continue;
        ++lines;
        if (line.find("//") != std::string::npos) ++comments;
      }
    }
  }
  EXPECT_GE(static_cast<double>(comments), 0.3 * static_cast<double>(lines))
      << comments << " of " << lines << " lines";
}

// Each folder says what it promises, in which order to read it and what it must not know.
TEST(Sizes, FoldersHaveAShortReadme) {
  for (const char* folder : {"learner", "ingest", "store", "serve", "ops", "tests"}) {
    const auto lines = lines_of(std::string(folder) + "/README.md");
    EXPECT_GT(lines.size(), 5u) << folder;
    EXPECT_LE(lines.size(), 60u) << folder;
  }
}

}  // namespace
}  // namespace millrace
