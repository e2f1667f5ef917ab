#pragma once

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// `train.dense`: options that do not belong to the optimiser, the clipping
/// or the shape of the schedule that was chosen.
void check_optimizers(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts);

/// `train.labels` and `train.recalibrate`: tasks that there are not (or are not binary), numbers
/// out of range, and a curriculum that nobody begins.
void check_labels(ConfigReader& reader, const Config& config);

}  // namespace millrace
