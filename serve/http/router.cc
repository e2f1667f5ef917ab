#include "serve/http/router.h"

#include <array>

namespace millrace {
namespace {

constexpr std::array<RouteLine, 18> kRouteTable{{
    {"POST", "/v1/score", Route::kScore, Lane::kScore},
    {"POST", "/v1/rank", Route::kRank, Lane::kScore},
    {"GET", "/metrics", Route::kMetrics, Lane::kInsight},
    {"GET", "/livez", Route::kLivez, Lane::kInline},
    {"GET", "/readyz", Route::kReadyz, Lane::kInline},
    {"GET", "/v1/tasks", Route::kTasks, Lane::kInsight},
    {"GET", "/v1/relations", Route::kRelations, Lane::kInsight},
    {"GET", "/v1/gates", Route::kGates, Lane::kInsight},
    {"GET", "/v1/importance", Route::kImportance, Lane::kInsight},
    {"GET", "/v1/metrics-history", Route::kHistory, Lane::kInsight},
    {"GET", "/v1/join/{impression_id}", Route::kJoin, Lane::kJoin},
    {"POST", "/v1/admin/snapshot", Route::kSnapshot, Lane::kAdmin},
    {"POST", "/v1/admin/freeze", Route::kFreeze, Lane::kAdmin},
    {"POST", "/v1/admin/resume", Route::kResume, Lane::kAdmin},
    {"POST", "/v1/admin/champion", Route::kChampion, Lane::kAdmin},
    {"GET", "/v1/admin/status", Route::kStatus, Lane::kInsight},
    {"POST", "/v1/admin/rollback", Route::kRollback, Lane::kAdmin},
    {"GET", "/openapi.yaml", Route::kOpenApi, Lane::kInline},
}};

bool is_path_of(const RouteLine& line, std::string_view path) {
  const std::size_t brace = line.path.find('{');
  if (brace == std::string_view::npos) return line.path == path;
  return path.size() > brace && path.starts_with(line.path.substr(0, brace)) &&
         path.find('/', brace) == std::string_view::npos;
}

}  // namespace

std::span<const RouteLine> routes() { return kRouteTable; }

RouteMatch find_route(std::string_view method, std::string_view path) {
  RouteMatch match;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const RouteLine& line : kRouteTable) {
    if (!is_path_of(line, path)) continue;
    if (line.method == wanted) return {&line, {}};
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += line.method;
    if (line.method == "GET") match.allow += ", HEAD";
  }
  return match;
}

std::string_view route_name(Route route) {
  constexpr std::array<std::string_view, kRoutes> kNames{
      "score",    "rank",       "metrics",  "livez",   "readyz",   "tasks",  "relations",
      "gates",    "importance", "history",  "join",    "snapshot", "freeze", "resume",
      "champion", "status",     "rollback", "openapi", "other"};
  return kNames[static_cast<std::size_t>(route)];
}

}  // namespace millrace
