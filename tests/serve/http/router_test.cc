// The API's description and the router name the same paths and methods.
#include "serve/http/router.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "serve/api/api.h"

namespace millrace {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// "post /v1/score" for each operation under `paths:`; the page is indented by two.
std::set<std::string> described() {
  std::set<std::string> operations;
  std::istringstream page{std::string(openapi_text())};
  std::string path;
  bool in_paths = false;
  for (std::string line; std::getline(page, line);) {
    const std::size_t indent = line.find_first_not_of(' ');
    if (indent == std::string::npos) continue;
    if (indent == 0) in_paths = line == "paths:";
    if (!in_paths || line.back() != ':') continue;
    const std::string key = line.substr(indent, line.size() - indent - 1);
    if (indent == 2) path = key;
    if (indent == 4) operations.insert(key + " " + path);
  }
  return operations;
}

TEST(Router, OpenApiDescribesExactlyTheRoutes) {
  std::set<std::string> answered;
  for (const RouteLine& line : routes()) {
    answered.insert(lower(line.method) + " " + std::string(line.path));
  }
  EXPECT_EQ(described(), answered);
}

TEST(Router, OpenApiIsThePageOfTheRepository) {
  std::ifstream file(std::string(SOURCE_DIR) + "/serve/openapi.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(openapi_text(), text.str());
}

TEST(Router, EveryRouteHasALineAndANameOfItsOwn) {
  std::set<Route> answered;
  for (const RouteLine& line : routes()) {
    EXPECT_TRUE(answered.insert(line.route).second) << line.path;
  }
  std::set<std::string_view> names;
  for (int i = 0; i < kRoutes; ++i) names.insert(route_name(static_cast<Route>(i)));
  EXPECT_EQ(answered.size() + 1, std::size_t{kRoutes}) << "all but kOther";
  EXPECT_EQ(names.size(), std::size_t{kRoutes});
}

TEST(Router, EveryRouteIsFound) {
  for (const RouteLine& line : routes()) {
    const RouteMatch match = find_route(line.method, line.path);
    ASSERT_NE(match.line, nullptr);
    EXPECT_EQ(match.line->route, line.route);
    EXPECT_EQ(find_route("BREW", line.path).line, nullptr);
    EXPECT_NE(find_route("BREW", line.path).allow.find(line.method), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace
