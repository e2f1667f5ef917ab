#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace simulate funnel`: events of simulated users, into a file or into Kafka at a rate;
/// prints the counts.
void add_simulate_command(Command& program);

}  // namespace millrace
