// `simulate funnel` and `simulate mmoe` as a shell sees them: what is wrong is said, the truth
// beside the events is that of the events, and labels correlate as the closed form says.
#include "ops/commands/simulate.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;

struct SimulateTest : ::testing::Test {
  const TempFolder folder;
  std::string output, error;

  int simulate(std::vector<std::string> options, const std::string& out) {
    std::vector<std::string> words{"funnel", "--impressions", "4000",      "--seed", "3", "--rate",
                                   "50",     "--out",         folder / out};
    words.insert(words.end(), options.begin(), options.end());
    return run(std::move(words));
  }
  int run(std::vector<std::string> words) {
    words.insert(words.begin(), {"millrace", "simulate"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    Command program("millrace", "");
    add_simulate_command(program);
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int exit = program.main(static_cast<int>(words.size()), argv.data(), "0");
    output = ::testing::internal::GetCapturedStdout();
    error = ::testing::internal::GetCapturedStderr();
    return exit;
  }
  std::vector<json::object> lines(const std::string& name) const {
    std::vector<json::object> lines;
    std::ifstream file(folder / name);
    for (std::string line; std::getline(file, line);) {
      lines.push_back(json::parse(line).as_object());
    }
    return lines;
  }
};

TEST_F(SimulateTest, TheTruthIsThatOfTheEvents) {
  const std::vector<std::string> options{"--truth",
                                         folder / "truth",
                                         "--click-delay",
                                         "5s",
                                         "--conversion-delay",
                                         "1m",
                                         "--delays",
                                         "log_normal",
                                         "--shift-after",
                                         "40s",
                                         "--shift-clicks",
                                         "-1.5",
                                         "--drift",
                                         "1h",
                                         "--conversion-swing",
                                         "0.5"};
  ASSERT_EQ(simulate(options, "events"), kExitDone) << error;
  std::map<json::string, int> clicks;
  std::vector<json::string> impressions;
  for (const json::object& event : lines("events")) {
    const json::string& id = event.at("impression_id").as_string();
    if (event.at("type") == "impression") impressions.push_back(id);
    if (event.at("type") == "click") ++clicks[id];
  }
  double expected = 0, variance = 0, happened = 0;
  std::size_t at = 0;
  for (const json::object& of : lines("truth")) {
    ASSERT_LT(at, impressions.size());
    EXPECT_EQ(of.at("impression_id").as_string(), impressions[at++]) << "in the same order";
    const double ctr = of.at("ctr").as_double();
    expected += ctr;
    variance += ctr * (1 - ctr);
    happened += of.at("clicked").as_bool();
    EXPECT_EQ(clicks[of.at("impression_id").as_string()], of.at("clicked").as_bool());
    for (const char* name : {"cvr", "like"}) {
      EXPECT_GT(of.at(name).as_double(), 0);
      EXPECT_LT(of.at(name).as_double(), 1);
    }
    EXPECT_LE(of.at("converted").as_bool(), of.at("clicked").as_bool());
  }
  EXPECT_EQ(at, 4000u);
  EXPECT_LT(std::abs(happened - expected), 4 * std::sqrt(variance));

  ASSERT_EQ(simulate(options, "again"), kExitDone);
  EXPECT_EQ(lines("again"), lines("events"));
}

TEST_F(SimulateTest, WhatIsWrongIsSaid) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--click-delay", "soon"}, "soon is not a duration of at least 1ms"},
      {{"--conversion-delay", "0s"}, "0s is not a duration of at least 1ms"},
      {{"--delays", "gaussian"}, "gaussian"},
      {{"--missing", "1.5"}, "--missing 1.5 is no share"},
      {{"--missing", "-1"}, "--missing"},
      {{"--shift-clicks", "1"}, "--shift-after goes with"},
      {{"--shift-after", "1h"}, "--shift-after goes with"}};
  for (const auto& [options, part] : cases) {
    EXPECT_EQ(simulate(options, "events"), kExitUsage) << options[0];
    EXPECT_NE(error.find(part), std::string::npos) << error;
  }
  EXPECT_EQ(simulate({"--truth", folder / "none/truth"}, "events"), kExitFailed);
  EXPECT_NE(error.find("none/truth: cannot be written"), std::string::npos) << error;
}

double correlation(const std::vector<json::object>& samples) {
  double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;
  for (const json::object& sample : samples) {
    const json::object& labels = sample.at("labels").as_object();
    const double x = labels.at("y1").to_number<double>(), y = labels.at("y2").to_number<double>();
    n += 1, a += x, b += y, aa += x * x, bb += y * y, ab += x * y;
  }
  return (n * ab - a * b) / std::sqrt((n * aa - a * a) * (n * bb - b * b));
}

TEST_F(SimulateTest, RelatedRegressionsAreAsRelatedAsThePaperHasThem) {
  const std::vector<std::string> words{
      "mmoe",        "--rows", "20000",  "--correlation", "0.9",   "--seed",       "5",
      "--dimension", "4",      "--rate", "1000",          "--out", folder / "rows"};
  ASSERT_EQ(run(words), kExitDone) << error;
  EXPECT_NE(output.find("in closed form 0.298"), std::string::npos) << output;
  const std::vector<json::object> samples = lines("rows");
  ASSERT_EQ(samples.size(), 20'000u);
  EXPECT_NEAR(correlation(samples), 0.298, 4 / std::sqrt(20'000));
  EXPECT_EQ(samples[7].at("features").as_object().at("x").as_array().size(), 4u);
  EXPECT_EQ(samples[2000].at("time").as_int64() - samples[0].at("time").as_int64(), 2000);

  EXPECT_EQ(run({"mmoe", "--rows", "9", "--out", folder / "few", "--alphas", "1,2"}), kExitUsage);
  EXPECT_NE(error.find("as many --betas as --alphas"), std::string::npos) << error;
  EXPECT_EQ(run({"mmoe", "--rows", "9", "--out", folder / "few", "--correlation", "1.5"}),
            kExitUsage);
  EXPECT_NE(error.find("--correlation 1.5"), std::string::npos) << error;
  EXPECT_EQ(run({"mmoe", "--rows", "9", "--out", folder / "no/few"}), kExitFailed);
  EXPECT_EQ(run({"mmoe", "--rows", "9"}), kExitUsage);
}

}  // namespace
}  // namespace millrace
