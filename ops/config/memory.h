#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/train/trainers.h"
#include "ops/config/config.h"

namespace millrace {

/// One thing that takes memory.
struct MemoryPart {
  std::string what;
  double bytes = 0;
  std::string note;
  bool of_replay = true;  ///< Whether `replay` has it, too: it serves nobody and reads no broker.
};

/// What a configuration takes of memory when every part is as large as it gets at once: tables of
/// `rows` rows each, of which a commit has as many as are learned since the one before. What a
/// replay has of it is held against the peak of measured replays by tests/bench/memory.py.
struct MemoryEstimate {
  std::vector<MemoryPart> parts;
  double together = 0;
  double of_replay = 0;
  /// Of what grows with the keys: each row of every table, of all models, and what is made of it.
  double each_row = 0;
};

/// `rows`: of each table, but no more than its limit; nothing: that. `plans`: model_plans(config).
MemoryEstimate estimate_memory(const Config& config, const std::vector<ModelPlan>& plans,
                               std::optional<std::int64_t> rows);

}  // namespace millrace
