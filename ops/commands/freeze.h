#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace freeze | resume --config F [--task T]`: asks the daemon at serve.listen, and prints
/// its answer. Exit 1 where none answers, or it refuses; the message says why.
void add_freeze_commands(Command& program);

}  // namespace millrace
