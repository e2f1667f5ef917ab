// Whatever stands in a file: it loads to something that a schema and a model can be made of, or it
// is answered with lines that name a place. It never crashes and never hangs.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "learner/base/random.h"
#include "ops/config/explain.h"
#include "ops/config/load.h"

namespace millrace {
namespace {

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : seed_(seed) {}

  std::string mutate(std::string text) {
    for (std::uint64_t i = 0, count = 1 + below(3); i < count; ++i) change(text);
    return text;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return philox(seed_, 7, step_++)[0] % n; }

  void change(std::string& text) {
    static const std::vector<std::string> kPieces{
        "[",   "]",    "{",      "}",   ": ",          "\n",   "  ",    "- ",
        "&a ", "*a",   "!!int ", "\"",  "'",           "null", "~",     "-1",
        "0",   "1e99", "1ms",    "off", "\x01",        "\xc3", "true",  "#",
        "? ",  "|\n",  "click",  "ctr", "99999999999", "<<: ", "---\n", "%YAML 1.1\n"};
    const std::size_t at = below(text.size()), length = std::min(below(12), text.size() - at);
    switch (below(4)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, kPieces[below(kPieces.size())]);
        break;
      case 2:
        text.replace(at, length, kPieces[below(kPieces.size())]);
        break;
      default:
        text.insert(below(text.size()), text.substr(at, 5 * length));
    }
  }

  const std::uint64_t seed_;
  std::uint64_t step_ = 0;
};

TEST(ConfigMutations, LoadOrAreAnsweredWithAPlace) {
  std::ifstream file(SOURCE_DIR "/tests/data/contract/millrace.yaml");
  std::ostringstream whole;
  whole << file.rdbuf();
  int loaded = 0, refused = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const std::string text = Mutator(seed).mutate(whole.str());
    const auto result = load_config_text(text, "f", {});
    if (result) {
      ++loaded;
      const std::string printed = print_config(result->config);
      const auto again = load_config_text(printed, "printed", {});
      ASSERT_TRUE(again) << again.error().message << "\n" << text;
      EXPECT_EQ(print_config(again->config), printed) << text;
      EXPECT_NE(explain_config(result->config), "");
      continue;
    }
    ++refused;
    std::istringstream lines(result.error().message);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      EXPECT_TRUE(line.starts_with("f:")) << seed << ": " << line;
    }
    EXPECT_GT(count, 0) << seed;
  }
  EXPECT_GT(loaded, 30);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace millrace
