// Sixty steps of every backbone, balancer, optimiser and schedule against PyTorch in double:
// numbers that tests/reference/make_reference.py wrote, from the same weights and batches, full and
// partial.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ops/config/load.h"
#include "ops/parity/parity.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path kFolder = fs::path(SOURCE_DIR) / "tests/data/reference";

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// As in make_reference.py: a fixed row of 1 and −1.
double sign(std::uint64_t which, std::uint64_t place) {
  const auto bits = static_cast<std::uint32_t>(place * 2654435761U + 40503U * (which + 1));
  return (bits >> 16 & 1) != 0 ? 1 : -1;
}

json::value read_json(const std::string& name) {
  std::ifstream file(kFolder / name);
  std::ostringstream text;
  text << file.rdbuf();
  return json::parse(text.str());
}

class Reference : public ::testing::TestWithParam<std::string> {};

TEST_P(Reference, WeightsAgreeWithPyTorch) {
  const json::value record = read_json(GetParam() + ".json");
  json::object sections = read_json("common.part").as_object();
  for (const auto& [key, value] : record.at("config").as_object()) sections[key] = value;
  const auto config = load_config_text(json::serialize(sections), GetParam(), {});
  ASSERT_TRUE(config) << config.error().message;
  const auto batches = read_batches(kFolder / "batches.jsonl", config->config);
  ASSERT_TRUE(batches) << batches.error().message;
  const auto start = read_tensor_file(kFolder / record.at("start").as_string().c_str());
  ASSERT_TRUE(start) << start.error().message;

  const auto result = run_parity({.config = config->config,
                                  .batches = *batches,
                                  .weights = *start,
                                  .steps = record.at("steps").to_number<std::int64_t>()});
  ASSERT_TRUE(result) << result.error().message;

  // In the order of the start's arrays.
  const json::array& expected = record.at("expected").as_array();
  ASSERT_EQ(expected.size(), start->tensors.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const json::value& figures = expected[i];
    const std::string& name = start->tensors[i].name;
    const Tensor* tensor = result->weights.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    const double norm = figures.at(0).to_number<double>();
    double squares = 0;
    for (const float value : tensor->values) squares += double{value} * value;
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-4 * norm) << name;
    for (std::size_t which = 1; which < figures.as_array().size(); ++which) {
      double sum = 0;
      for (std::size_t at = 0; at < tensor->values.size(); ++at) {
        sum += sign(which - 1, at) * tensor->values[at];
      }
      EXPECT_NEAR(sum, figures.at(which).to_number<double>(), 2e-4 * norm) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, Reference, ::testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace millrace
