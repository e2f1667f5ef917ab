// Pages that are generated are committed as the program generates them; what pages show works; what
// they link to is there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "ops/config/load.h"
#include "ops/metrics/catalogue.h"

namespace millrace {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(SOURCE_DIR "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// `make pages` writes the page instead.
void expect_in_step(const std::string& path, const std::string& page) {
  if (std::getenv("MILLRACE_WRITE_PAGES") != nullptr) {
    std::ofstream(SOURCE_DIR "/" + path) << page;
  }
  EXPECT_EQ(read_file(path), page) << "run: make pages";
}

TEST(Documents, ConfigurationPageIsInStep) {
  expect_in_step("ops/docs/configuration.md", configuration_page());
}

TEST(Documents, MetricsPageIsInStep) { expect_in_step("ops/docs/metrics.md", metrics_page()); }

TEST(Documents, ConfigurationsThatAreShownLoad) {
  const std::string readme = read_file("README.md"), fence = "```yaml\n";
  const std::size_t begin = readme.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t from = begin + fence.size();
  const auto shown =
      load_config_text(readme.substr(from, readme.find("```", from) - from), "README.md", {});
  EXPECT_TRUE(shown) << shown.error().message;
  const auto movielens = load_config(SOURCE_DIR "/tests/movielens/millrace.yaml", {});
  EXPECT_TRUE(movielens) << movielens.error().message;
}

TEST(Documents, LinksLeadSomewhere) {
  const std::regex link(R"re(\]\(([^)#:]+)\))re");
  int checked = 0;
  for (const char* folder : {"", "learner/", "ingest/", "store/", "serve/", "ops/", "tests/"}) {
    const std::string text = read_file(folder + std::string("README.md"));
    for (std::sregex_iterator at(text.begin(), text.end(), link), end; at != end; ++at, ++checked) {
      const std::string target = std::string(SOURCE_DIR "/") + folder + (*at)[1].str();
      EXPECT_TRUE(std::filesystem::exists(target)) << folder << "README.md: " << (*at)[1];
    }
  }
  EXPECT_GT(checked, 5);
}

// The README's table of commands names what the Makefile has.
TEST(Documents, MakeTargetsThatAreNamedExist) {
  const std::string makefile = read_file("Makefile"), readme = read_file("README.md");
  const std::regex target(R"re(`?make ([a-z-]+))re");
  int checked = 0;
  for (std::sregex_iterator at(readme.begin(), readme.end(), target), end; at != end; ++at) {
    const std::string name = (*at)[1];
    EXPECT_NE(makefile.find("\n" + name + ":"), std::string::npos) << "make " << name;
    ++checked;
  }
  EXPECT_GE(checked, 4);
}

}  // namespace
}  // namespace millrace
