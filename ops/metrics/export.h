#pragma once

#include <string>

#include "learner/base/time.h"
#include "ops/engine/engine.h"
#include "serve/server.h"

namespace millrace {

/// The text of /metrics: every number that the parts count, under its public name.
/// Threads: any; it only reads.
std::string export_metrics(const Engine& engine, const ServeProbe* serve, EventTime now);

}  // namespace millrace
