#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace replay`: the same path as fast as it goes, from files or from the topics up to their
/// present ends; prints its report as one JSON object, last, on standard output.
void add_replay_command(Command& program);

}  // namespace millrace
