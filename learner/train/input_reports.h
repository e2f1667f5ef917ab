#pragma once

#include <vector>

#include "learner/data/schema.h"
#include "learner/evaluate/importance.h"
#include "learner/layers/input_layer.h"
#include "learner/publish/publication.h"
#include "learner/train/report.h"

// What a trainer tells of its input layer.
namespace millrace {

std::vector<TableReport> table_reports(const InputLayer& inputs);

/// Of each numeric feature.
std::vector<Standardisation> standardisations(const InputLayer& inputs);

/// Finds the rows of features' keys. Borrows both.
Importance::RowOf rows_of(const Schema& schema, const InputLayer& inputs);

}  // namespace millrace
