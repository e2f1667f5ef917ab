#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `simulate mmoe`: samples of MMoE's synthetic pair of regressions, and how the labels correlate.
void add_simulate_mmoe_command(Command& simulate_command);

}  // namespace millrace
