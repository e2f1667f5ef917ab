#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace demo`: everything at once, with nothing to set up: an embedded broker, simulated
/// users, the daemon and its API, and a picture of what it learns.
void add_demo_command(Command& program);

}  // namespace millrace
