#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace inspect --store DIR [--json]`: opens the store for reading, also beside a running
/// daemon, and prints its last commit.
void add_inspect_command(Command& program);

}  // namespace millrace
