// Whatever stands in a configuration: it loads to something that a schema and a model can be made
// of and that prints to itself, or every line of the answer names a place.
#include <sstream>

#include "learner/base/check.h"
#include "ops/config/explain.h"
#include "ops/config/load.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  const auto result = load_config_text(std::string(fuzz_text(data, size)), "f", {});
  fuzz_counts.add(bool{result});
  if (result) {
    const std::string printed = print_config(result->config);
    const auto again = load_config_text(printed, "printed", {});
    MILLRACE_CHECK(again);
    MILLRACE_CHECK(print_config(again->config) == printed);
    MILLRACE_CHECK(!explain_config(result->config).empty());
    return 0;
  }
  std::istringstream lines(result.error().message);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    MILLRACE_CHECK(line.starts_with("f:"));
  }
  MILLRACE_CHECK(count > 0);
  return 0;
}
