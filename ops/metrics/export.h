#pragma once

#include <array>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "ops/engine/engine.h"
#include "ops/engine/supervisor.h"
#include "serve/learning_status.h"
#include "serve/server.h"

namespace millrace {

/// What there is to tell whether learning runs or not.
struct ServiceMetrics {
  EventTime started;
  LearningStatus learning;
  const std::array<Supervisor::Rollbacks, 2>* rollbacks = nullptr;
  const ServingModel* serving = nullptr;
  const ServedModels* served = nullptr;  ///< Beside the champion; null: it alone is served.
  std::vector<std::string> models = {};  ///< Those that may be.
  const ServeProbe* serve = nullptr;     ///< Null before the endpoint is open.
};

/// The text of /metrics in two halves that have no name in common: every number that the parts
/// count, under its public name. `past_failures`: commits that failed in engines before this one.
/// Threads: any; they only read.
std::string export_service(const ServiceMetrics& service, EventTime now);
std::string export_engine(const Engine& engine, std::uint64_t past_failures, EventTime now);

}  // namespace millrace
