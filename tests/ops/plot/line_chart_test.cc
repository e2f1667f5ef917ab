#include "ops/plot/line_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <cmath>
#include <limits>
#include <sstream>

namespace millrace {
namespace {

using boost::property_tree::ptree;

ptree parsed(const std::string& svg) {
  std::istringstream text(svg);
  ptree tree;
  read_xml(text, tree);
  return tree;
}

std::vector<std::string> texts_of(const ptree& svg) {
  std::vector<std::string> texts;
  for (const auto& [name, node] : svg) {
    if (name == "text") texts.push_back(node.data());
  }
  return texts;
}

TEST(LineChart, IsAnXmlDocumentWithAxesLabelsAndALegend) {
  LineChart chart{"ctr <&> \"quoted\"\x01", "rows", "AUC", {}};
  for (int s = 0; s < 9; ++s) {
    Series series{"model " + std::to_string(s) + " & more", {}};
    for (int i = 0; i < 20; ++i) series.points.push_back({i * 1000.0, 0.6 + 0.01 * i + 0.01 * s});
    chart.series.push_back(series);
  }
  const ptree svg = parsed(svg_document({chart, chart})).get_child("svg");
  EXPECT_EQ(svg.get<std::string>("<xmlattr>.xmlns"), "http://www.w3.org/2000/svg");
  const std::vector<std::string> texts = texts_of(svg);
  for (const char* text : {"ctr <&> \"quoted\" ", "rows", "AUC", "model 0 & more", "model 8 & more",
                           "0", "5000", "0.6", "0.7"}) {
    EXPECT_THAT(texts, ::testing::Contains(text));
  }
  int paths = 0;
  for (const auto& [name, node] : svg) paths += name == "path";
  EXPECT_EQ(paths, 2 * 9 * 2);  // a line, and its place in the legend
}

// Points lie where the axes say.
TEST(LineChart, PlacesPointsByTheAxes) {
  const ptree svg =
      parsed(svg_document({{"t", "x", "y", {{"a", {{0, 0}, {10, 100}}}}}})).get_child("svg");
  const std::string path = svg.get_child("path").get<std::string>("<xmlattr>.d");
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  ASSERT_EQ(std::sscanf(path.c_str(), "M%lf %lf L%lf %lf", &x0, &y0, &x1, &y1), 4);
  EXPECT_LT(x0, x1);
  EXPECT_GT(y0, y1);  // up is smaller in SVG
}

TEST(LineChart, WhatIsNotFiniteIsAGap) {
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  const std::string svg =
      svg_document({{"t", "x", "y", {{"a", {{0, 1}, {1, 2}, {2, nothing}, {3, 1}, {4, 1}}}}}});
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  const std::string path =
      parsed(svg).get_child("svg").get_child("path").get<std::string>("<xmlattr>.d");
  EXPECT_EQ(std::count(path.begin(), path.end(), 'M'), 2);
}

TEST(LineChart, ChartsOfNothingAndOfOnePointAreDrawn) {
  for (const auto& points :
       {std::vector<std::pair<double, double>>{}, {{5, 0.7}}, {{1, 3}, {2, 3}}}) {
    const std::string svg = svg_document({{"t", "x", "y", {{"a", points}}}});
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
    EXPECT_NO_THROW((void)parsed(svg));
  }
  EXPECT_NO_THROW((void)parsed(svg_document({})));
}

}  // namespace
}  // namespace millrace
