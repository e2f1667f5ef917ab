#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace check-config`: parses and explains the configuration, its memory included. Prints `ok`
/// last (exit 0), or the errors on stderr (exit 78).
void add_check_config_command(Command& program);

}  // namespace millrace
