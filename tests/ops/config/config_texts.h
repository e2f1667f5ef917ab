#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ops/config/load.h"

// Configurations as text, for tests of what becomes of them.
namespace millrace {

inline std::string contract_text() {
  std::ifstream file(SOURCE_DIR "/tests/data/contract/millrace.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The least that is a configuration; what `more` adds to it comes behind.
inline std::string smallest(const std::string& more = "") {
  return "events:\n"
         "  impression:\n"
         "  click: {window: 10m}\n"
         "features:\n"
         "  - {name: item, type: categorical, dimension: 4}\n"
         "tasks:\n"
         "  - {name: click}\n" +
         more;
}

inline Config loaded(const std::string& text, const std::vector<ConfigOverride>& overrides = {}) {
  const auto result = load_config_text(text, "f", overrides);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : Config{};
}

inline std::string errors(const std::string& text,
                          const std::vector<ConfigOverride>& overrides = {}) {
  const auto result = load_config_text(text, "f", overrides);
  return result ? "" : result.error().message;
}

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

}  // namespace millrace
