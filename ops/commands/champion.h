#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace champion --config F --model NAME`: has the daemon of a configuration serve that
/// model's scores.
void add_champion_command(Command& program);

}  // namespace millrace
