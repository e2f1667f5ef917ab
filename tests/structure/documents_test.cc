// Pages that are generated are committed as the program generates them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ops/config/load.h"

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

}  // namespace
}  // namespace millrace
