// Includes point one way: the table of who may know whom, held against every #include. A new edge
// is a change of the design, made here, in the build files and in the folder's README.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "tests/structure/source_tree.h"

namespace millrace {
namespace {

using Words = std::vector<std::string>;

const Words kFolders{"learner", "ingest", "store", "serve", "ops"};

// Our own headers that a folder may include, by prefix.
const std::map<std::string, Words> kMayInclude{
    {"learner", {"learner/"}},
    {"ingest", {"ingest/", "learner/"}},
    {"store", {"store/", "ingest/", "learner/"}},
    {"serve", {"serve/", "store/", "ingest/encode/", "ingest/event/", "learner/"}},
    {"ops", {"ops/", "serve/", "store/", "ingest/", "learner/"}},
};

// What each part of the learner may include of the others, transitively.
const std::map<std::string, Words> kLearnerParts{
    {"base", {}},
    {"math", {"base"}},
    {"device", {"base", "math"}},
    {"data", {"base"}},
    {"embedding", {"base", "math", "device", "data"}},
    {"layers", {"base", "math", "device", "data", "embedding"}},
    {"model", {"base", "math", "device", "data", "embedding", "layers"}},
    {"balance", {"base", "math", "device", "data", "model"}},
    {"relation", {"base", "math", "device", "data", "model"}},
    {"evaluate", {"base", "math", "device", "data", "model"}},
    {"publish", {"base", "math", "device", "data", "embedding", "layers", "model"}},
    {"train",
     {"base", "math", "device", "data", "embedding", "layers", "model", "balance", "relation",
      "evaluate", "publish"}},
    {"synthetic", {"base", "data"}},
};

// Libraries, by the prefixes of their headers, and the folders that may use each.
struct Library {
  std::string name;
  Words headers;
  std::set<std::string> folders;
};
const std::vector<Library> kLibraries{
    {"Eigen", {"Eigen/"}, {"learner"}},
    {"oneDNN", {"dnnl", "oneapi/", "omp.h"}, {"learner"}},
    {"CUDA", {"cuda", "cublas"}, {"learner"}},
    {"librdkafka", {"librdkafka/"}, {"ingest", "ops"}},
    {"simdjson", {"simdjson"}, {"ingest", "serve"}},
    {"RocksDB", {"rocksdb/"}, {"store"}},
    {"Boost", {"boost/"}, {"serve", "ops"}},
    {"OpenSSL", {"openssl/"}, {"serve"}},
    {"yaml-cpp", {"yaml-cpp/"}, {"ops"}},
    {"CLI11", {"CLI/"}, {"ops"}},
    {"spdlog", {"spdlog/"}, {"ops"}},
    {"fmt", {"fmt/"}, {"ops"}},
    {"Prometheus", {"prometheus/"}, {"ops"}},
};

// Of the system and the compiler.
const Words kSystem{"sys/",   "netinet/", "arpa/",    "unistd.h",    "fcntl.h",
                    "poll.h", "signal.h", "malloc.h", "xmmintrin.h", "immintrin.h"};

bool starts_with_any(const std::string& header, const Words& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return header.starts_with(prefix); });
}

bool is_standard(const std::string& header) {
  return header.find_first_of("./") == std::string::npos;
}

const Library* library_of(const std::string& header) {
  const auto at = std::find_if(kLibraries.begin(), kLibraries.end(), [&](const Library& library) {
    return starts_with_any(header, library.headers);
  });
  return at == kLibraries.end() ? nullptr : &*at;
}

TEST(Layering, FoldersIncludeOnlyWhatTheTableAllows) {
  int checked = 0;
  for (const auto& [folder, may] : kMayInclude) {
    for (const Include& include : includes_of(folder)) {
      ++checked;
      if (include.quoted) {
        EXPECT_TRUE(starts_with_any(include.header, may))
            << include.path << " may not include " << include.header;
        continue;
      }
      const Library* library = library_of(include.header);
      const bool allowed = is_standard(include.header) ||
                           starts_with_any(include.header, kSystem) ||
                           (library != nullptr && library->folders.contains(folder));
      EXPECT_TRUE(allowed) << include.path << " may not include <" << include.header << ">";
    }
  }
  EXPECT_GT(checked, 200) << "the test looked at the wrong tree";
}

TEST(Layering, PartsOfTheLearnerIncludeOnlyLowerParts) {
  for (const Include& include : includes_of("learner")) {
    if (!include.header.starts_with("learner/")) continue;
    const std::string from = part_of(include.path).substr(8),
                      to = part_of(include.header).substr(8);
    const auto row = kLearnerParts.find(from);
    ASSERT_NE(row, kLearnerParts.end()) << from << " is no part of the table";
    const bool allowed =
        from == to || std::find(row->second.begin(), row->second.end(), to) != row->second.end();
    EXPECT_TRUE(allowed) << include.path << " may not include " << include.header;
  }
}

// Names of a library do not leave the files that wrap it: no public header includes one, and few
// files of a folder do.
TEST(Layering, LibrariesStayInFewFilesAndOutOfHeaders) {
  constexpr std::size_t kMostFiles = 3;
  for (const std::string& folder : kFolders) {
    std::map<std::string, std::set<std::string>> users;
    for (const Include& include : includes_of(folder)) {
      const Library* library = library_of(include.header);
      if (library == nullptr || include.quoted) continue;
      // fmt stands in for the standard's <format>, which GCC 12 lacks; it wraps nothing.
      if (library->name != "fmt") users[library->name].insert(include.path);
      const bool header = include.path.ends_with(".h");
      EXPECT_TRUE(!header || include.path.ends_with("_inner.h"))
          << include.path << " shows " << library->name << " to everybody who includes it";
    }
    for (const auto& [library, files] : users) {
      EXPECT_LE(files.size(), kMostFiles) << library << " in " << folder;
    }
  }
}

// So each header that has a source compiles by itself: where its source is compiled. The others
// have a target of their own (cmake/millrace_library.cmake).
TEST(Layering, ASourceIncludesItsOwnHeaderFirst) {
  int checked = 0;
  for (const std::string& folder : kFolders) {
    std::map<std::string, std::string> first;  // by the path of what includes it
    for (const Include& include : includes_of(folder)) first.emplace(include.path, include.header);
    for (const auto& [path, header] : first) {
      if (!path.ends_with(".cc")) continue;
      const std::string own = path.substr(0, path.size() - 3) + ".h";
      if (!first.contains(own)) continue;  // no such header, or one that includes nothing
      EXPECT_EQ(header, own) << path;
      ++checked;
    }
  }
  EXPECT_GT(checked, 100) << "the test looked at the wrong tree";
}

// An inner header is for its own folder; but one code reads features out of events and requests.
const std::set<std::string> kSharedInner{"ingest/encode/json_features_inner.h"};

TEST(Layering, InnerHeadersStayInTheirFolder) {
  for (const std::string& folder : kFolders) {
    for (const Include& include : includes_of(folder)) {
      if (!include.header.ends_with("_inner.h")) continue;
      const bool shared = kSharedInner.contains(include.header);
      EXPECT_TRUE(shared || folder_of(include.header) == folder)
          << include.path << " may not include " << include.header;
      EXPECT_FALSE(include.path.ends_with(".h") && !include.path.ends_with("_inner.h"))
          << include.path << " is public and includes " << include.header;
    }
  }
}

using Edges = std::map<std::string, std::set<std::string>>;

// A circle through `edges` as text; empty where there is none.
std::string find_circle(const Edges& edges) {
  std::set<std::string> done;
  Words path;
  std::function<std::string(const std::string&)> visit = [&](const std::string& at) -> std::string {
    if (const auto again = std::find(path.begin(), path.end(), at); again != path.end()) {
      std::string text;
      for (auto step = again; step != path.end(); ++step) text += *step + " -> ";
      return text + at;
    }
    if (!done.insert(at).second) return {};
    path.push_back(at);
    if (const auto row = edges.find(at); row != edges.end()) {
      for (const std::string& next : row->second) {
        if (std::string circle = visit(next); !circle.empty()) return circle;
      }
    }
    path.pop_back();
    return {};
  };
  for (const auto& [from, to] : edges) {
    if (std::string circle = visit(from); !circle.empty()) return circle;
  }
  return {};
}

TEST(Layering, TheSearchFindsCircles) {
  EXPECT_EQ(find_circle({{"a", {"b"}}, {"b", {"c", "d"}}, {"c", {"d"}}}), "");
  EXPECT_EQ(find_circle({{"a", {"b"}}, {"b", {"c"}}, {"c", {"b"}}}), "b -> c -> b");
}

TEST(Layering, NoCircleBetweenFoldersOrPartsOfTheLearner) {
  Edges folders, parts, headers;
  for (const std::string& folder : kFolders) {
    for (const Include& include : includes_of(folder)) {
      if (!include.quoted) continue;
      const std::string to = folder_of(include.header);
      if (to != folder) folders[folder].insert(to);
      if (include.path.ends_with(".h")) headers[include.path].insert(include.header);
      const bool inside = folder == "learner" && to == "learner";
      if (inside && part_of(include.path) != part_of(include.header)) {
        parts[part_of(include.path)].insert(part_of(include.header));
      }
    }
  }
  EXPECT_EQ(find_circle(folders), "");
  EXPECT_EQ(find_circle(parts), "");
  EXPECT_EQ(find_circle(headers), "");
}

// Time, randomness and devices come in through constructors, so that a replay can be exact.
TEST(Layering, NobodyReachesForTheClockOrRandomness) {
  for (const char* folder : {"learner", "ingest", "store"}) {
    for (const std::string& path : source_files(folder)) {
      if (path.starts_with("ingest/source/")) continue;
      for (const std::string& line : lines_of(path)) {
        EXPECT_EQ(line.find("system_clock::now"), std::string::npos) << path;
        EXPECT_EQ(line.find("random_device"), std::string::npos) << path;
      }
    }
  }
}

}  // namespace
}  // namespace millrace
