// Each failpoint of the code is in the table that people choose from, and a test kills the program
// there.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "tests/structure/source_tree.h"

namespace millrace {
namespace {

using Names = std::set<std::string>;

// What the first group finds in the lines of a file.
void find(const std::string& path, const std::regex& pattern, Names& names) {
  for (const std::string& line : lines_of(path)) {
    for (std::sregex_iterator match(line.begin(), line.end(), pattern), end; match != end;
         ++match) {
      names.insert((*match)[1]);
    }
  }
}

Names in_code() {
  Names names;
  for (const char* folder : {"learner", "ingest", "store", "serve", "ops"}) {
    for (const std::string& path : source_files(folder)) {
      if (!path.ends_with(".cc")) continue;
      find(path, std::regex(R"re(MILLRACE_FAILPOINT\("([^"]+)"\))re"), names);
    }
  }
  return names;
}

TEST(Failpoints, AreTheTableOfTheirPage) {
  Names named;
  for (const std::string& line : lines_of("tests/support/faults/README.md")) {
    static const std::regex place(R"(`([a-z_]+\.[a-z_]+)`)");
    const std::string cell = line.substr(0, line.find('|', 1));
    if (!cell.starts_with("| `")) continue;
    for (std::sregex_iterator match(cell.begin(), cell.end(), place), end; match != end; ++match) {
      EXPECT_TRUE(named.insert((*match)[1]).second) << (*match)[1] << " is there twice";
    }
  }
  EXPECT_EQ(named, in_code());
  EXPECT_GT(named.size(), 20u) << "the test looked at the wrong tree";
}

TEST(Failpoints, AreEachKilledAt) {
  Names killed;
  for (const std::string& path : source_files("tests/integration")) {
    if (path.find("/faults_") == std::string::npos) continue;
    find(path, std::regex(R"re("([a-z_]+\.[a-z_]+)")re"), killed);
  }
  for (const std::string& name : in_code()) {
    EXPECT_TRUE(killed.contains(name)) << name << " is in no test under tests/integration/faults_*";
  }
}

}  // namespace
}  // namespace millrace
