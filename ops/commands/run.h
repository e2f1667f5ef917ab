#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace run`: the daemon. Consumes, joins, learns, commits and serves until SIGTERM or SIGINT.
void add_run_command(Command& program);

}  // namespace millrace
