#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace bench parity`: training steps on given weights and batches, to be held against other
/// code (ops/docs/parity.md).
void add_bench_command(Command& program);

}  // namespace millrace
