#pragma once

#include "learner/base/time.h"

namespace millrace {

/// The time of day, in milliseconds. Handed to those who may look at it; nothing else does.
EventTime wall_clock();

}  // namespace millrace
