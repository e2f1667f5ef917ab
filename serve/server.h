#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/event/event.h"
#include "learner/base/result.h"
#include "learner/data/schema.h"
#include "learner/model/options.h"
#include "learner/publish/score_formula.h"
#include "learner/publish/served_models.h"
#include "learner/publish/serving_model.h"
#include "learner/train/commands.h"
#include "learner/train/report.h"
#include "learner/train/trainers.h"
#include "serve/join_answer.h"
#include "serve/learning_status.h"
#include "serve/options.h"
#include "store/rollback.h"
#include "store/store.h"

namespace millrace {

/// What the server counts; plain numbers, read by any thread. Latency histograms have the upper
/// edges kLatencyEdges (seconds) and one bucket beyond.
inline constexpr std::array<double, 14> kLatencyEdges{
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10};
struct LatencyHistogram {
  std::array<std::atomic<std::uint64_t>, kLatencyEdges.size() + 1> buckets{};
  std::atomic<double> seconds{0};
  void observe(double value);
};

/// What a method and path lead to, and what answers are counted by. kOther: nothing of the API.
enum class Route {
  kScore,
  kRank,
  kMetrics,
  kLivez,
  kReadyz,
  kTasks,
  kRelations,
  kGates,
  kImportance,
  kHistory,
  kJoin,
  kSnapshot,
  kFreeze,
  kResume,
  kChampion,
  kStatus,
  kRollback,
  kOpenApi,
  kOther
};
inline constexpr int kRoutes = 19;
/// "score", "rank" and so on: the label of metrics.
std::string_view route_name(Route route);

/// What became of a question to the join: the first, or why there was none (JoinSilence::Why).
inline constexpr std::array<std::string_view, 4> kJoinQuestionResults{"answered", "refused",
                                                                      "timed_out", "failed"};

struct ServeProbe {
  std::array<std::array<std::atomic<std::uint64_t>, 6>, kRoutes>
      answers{};  ///< [route][status/100]
  /// Of score and rank: the wait for a thread, parsing, scoring, writing the text; and the whole,
  /// from the end of the request's head to the last byte of the answer.
  LatencyHistogram queue, input, compute, output, total;
  std::atomic<std::uint64_t> candidates{0}, keys{0}, unknown_keys{0}, unknown_features{0},
      not_finite{0}, connections{0}, connections_refused{0};
  /// Questions to the join, by kJoinQuestionResults.
  std::array<std::atomic<std::uint64_t>, 4> join_questions{};
};

/// What the server answers from. Everything borrowed must outlive it; the functions are called on
/// the server's threads and must be safe there.
struct ServeParts {
  std::string model;  ///< Its name in answers, where no version says whose weights it is made of.
  const Schema* schema = nullptr;
  ModelOptions model_options;
  const ServingModel* serving = nullptr;
  /// The models that can be asked for by name; absent: the champion alone.
  const ServedModels* served = nullptr;
  const ScoreFormula* formula = nullptr;
  std::function<EventTime()> clock;
  std::function<std::string()> metrics;  ///< The text of /metrics.
  std::function<TrainerReport()>
      tasks;  ///< For /v1/tasks, /v1/relations, the status: the champion.
  /// For the same, of all models; absent: there is one.
  std::function<TrainerReports()> models = {};
  /// For /v1/join: its JSON, or nothing where this impression is not known.
  std::function<JoinAnswer<std::string>(std::string_view impression_id)> join;
  std::function<LearningStatus()> learning = {};         ///< For /readyz; absent: not told.
  std::function<Result<SnapshotInfo>()> snapshot;        ///< For POST /v1/admin/snapshot.
  std::function<CommandAnswer(TrainerCommand)> command;  ///< For freeze, resume, champion.
  /// For POST /v1/admin/rollback; returns once the new version is served. Absent: 501.
  std::function<Result<RolledBack, RollbackRefusal>(const std::string& snapshot, Offsets offsets)>
      roll_back = {};
  std::function<void(std::string_view level, const std::string& message)> log;
};

/// The HTTP endpoint. Threads: its own; the calls below from any one thread.
class Server {
 public:
  /// Takes the port. Error: the address is not one, or is taken.
  static Result<std::unique_ptr<Server>> start(const ServeOptions& options, ServeParts parts);
  /// Stops at once.
  ~Server();

  /// The port, also where `listen` said 0.
  int port() const;

  /// /readyz says 503 from now on; new connections are still answered.
  void drain();
  /// Ends idle connections, lets requests in flight finish within `grace`, and stops.
  void stop(Duration grace);

  const ServeProbe& probe() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
