#pragma once

#include "learner/data/schema.h"
#include "learner/model/level_backbone.h"

namespace millrace {

/// STEM (Su et al. 2024): every embedding has T+1 parts, one for each task and a shared one; x_k
/// and x_s concatenate them. Task k's `task_experts` read x_k, the shared ones x_s; its gate reads
/// x_k + x_s (or x_k) and mixes ALL experts, but slopes do not pass to other tasks' experts, nor
/// from above the first level through a task's experts into the shared stream: the loss of one task
/// leaves the others' experts and embeddings as they are.
std::vector<LevelShape> stem_levels(int inputs, int tasks, const ModelOptions& options);

/// The schema that inputs and tables of a model have: for STEM embeddings are T+1 times as wide as
/// `schema` says, part by part in each row; for all others it is `schema`.
Schema input_schema(const Schema& schema, const ModelOptions& options);

/// How the columns of x become T+1 inputs of equal width: parts of embeddings go to their groups,
/// all else into every group. `schema`: from `input_schema`, of a STEM.
InputGroups stem_groups(const Schema& schema);

}  // namespace millrace
