// Pages that are generated are committed as the program generates them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
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

TEST(Documents, ConfigurationPageIsInStep) {
  EXPECT_EQ(read_file("ops/docs/configuration.md"), configuration_page())
      << "run: build/release/millrace check-config --print-page > ops/docs/configuration.md";
}

TEST(Documents, MetricsPageIsInStep) {
  if (std::getenv("MILLRACE_WRITE_PAGES") != nullptr) {
    std::ofstream(SOURCE_DIR "/ops/docs/metrics.md") << metrics_page();
  }
  EXPECT_EQ(read_file("ops/docs/metrics.md"), metrics_page())
      << "run: MILLRACE_WRITE_PAGES=1 build/release/tests/structure_test";
}

}  // namespace
}  // namespace millrace
