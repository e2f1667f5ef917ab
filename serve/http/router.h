#pragma once

#include <span>
#include <string>
#include <string_view>

#include "serve/server.h"

namespace millrace {

/// Where a request is worked on, so that none waits behind a slower kind: probes of life are
/// answered where they are read, scoring by its own threads, the rest by one thread each.
enum class Lane { kInline, kScore, kInsight, kJoin, kAdmin };

/// One line of the API; the table is held against openapi.yaml by a test.
struct RouteLine {
  std::string_view method;  ///< GET (then HEAD works too) or POST.
  std::string_view path;    ///< A last part in braces stands for any one part.
  Route route;
  Lane lane;
};

/// All routes.
std::span<const RouteLine> routes();

/// The line that answers, or null with the methods that the path has: none for an unknown path.
struct RouteMatch {
  const RouteLine* line = nullptr;
  std::string allow;  ///< "GET, HEAD"; of a path that is there but not by this method.
};
RouteMatch find_route(std::string_view method, std::string_view path);

}  // namespace millrace
