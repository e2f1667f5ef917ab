#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace compare --config F --events E.jsonl --models a.yaml,b.yaml[,…]`: trains each model on
/// the same stream, flushed at its end, and holds them against each other.
void add_compare_command(Command& program);

}  // namespace millrace
