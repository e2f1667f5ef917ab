#include "serve/api/api.h"

#include <memory>

#include "learner/base/check.h"
#include "serve/api/admin.h"
#include "serve/api/health.h"
#include "serve/api/insight.h"
#include "serve/api/join.h"
#include "serve/api/relations.h"
#include "serve/api/rollback.h"
#include "serve/api/score.h"
#include "serve/api/tasks.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

constexpr int kInsightQueue = 64;
constexpr int kAdminQueue = 4;

Answer answer_insight(const RouteLine& line, const ServeParts& parts, const Request& request) {
  switch (line.route) {
    case Route::kStatus:
      return answer_status(parts);
    case Route::kMetrics:
      return answer_metrics(parts);
    case Route::kRelations:
      return answer_relations(parts, request);
    case Route::kGates:
      return answer_gates(parts, request);
    case Route::kImportance:
      return answer_importance(parts, request);
    case Route::kHistory:
      return answer_history(parts, request);
    default:
      return answer_tasks(parts, request);
  }
}

}  // namespace

Api::Api(const ServeOptions& options, const ServeParts& parts, ServeProbe& probe)
    : parts_(parts),
      score_(
          {options.threads, options.max_queue, options.handler_timeout},
          [&]() -> Admission::Handler {
            auto handler = std::make_shared<ScoreHandler>(options, parts, probe);
            return [handler](const RouteLine& line, Request& request) {
              return handler->answer(line.route == Route::kRank, request);
            };
          },
          {.waits = &probe.queue}, parts.log),
      insight_(
          {1, kInsightQueue, options.handler_timeout},
          [&]() -> Admission::Handler {
            return [&parts](const RouteLine& line, Request& request) {
              return answer_insight(line, parts, request);
            };
          },
          {}, parts.log),
      join_(
          {1, options.max_join_queue, options.handler_timeout},
          [&]() -> Admission::Handler {
            return [&parts, &probe](const RouteLine&, Request& request) {
              return answer_join(parts, request, probe);
            };
          },
          {.refused = &count_of(probe, JoinSilence::Why::kRefused),
           .late = &count_of(probe, JoinSilence::Why::kTimedOut)},
          parts.log),
      admin_(
          {1, kAdminQueue, options.handler_timeout},
          [&]() -> Admission::Handler {
            return [&parts](const RouteLine& line, Request& request) {
              if (line.route == Route::kSnapshot) return answer_snapshot(parts, request.id);
              if (line.route == Route::kRollback) return answer_rollback(parts, request);
              if (line.route == Route::kChampion) return answer_champion(parts, request);
              return answer_command(parts, line.route == Route::kFreeze, request);
            };
          },
          {}, parts.log) {}

void Api::handle(const RouteLine& line, Request& request, const std::function<void(Answer)>& done) {
  if (line.lane == Lane::kInline) {
    done(answer_at_once(line, request));
    return;
  }
  Admission& lane = line.lane == Lane::kScore   ? score_
                    : line.lane == Lane::kAdmin ? admin_
                    : line.lane == Lane::kJoin  ? join_
                                                : insight_;
  if (!lane.submit(line, request, done)) {
    done(error_answer(503, "too many requests wait already; try again later", request.id));
  }
}

void Api::close() {
  score_.close();
  insight_.close();
  join_.close();
  admin_.close();
}

Answer Api::answer_at_once(const RouteLine& line, const Request& request) const {
  switch (line.route) {
    case Route::kLivez:
      return answer_livez();
    case Route::kReadyz:
      return answer_readyz(parts_, draining_.load(std::memory_order_relaxed), request.id);
    case Route::kOpenApi: {
      Answer answer;
      answer.content_type = "application/yaml";
      answer.body = openapi_text();
      return answer;
    }
    default:
      MILLRACE_CHECK(false);
  }
}

}  // namespace millrace
