#pragma once

#include "ops/commands/command_line.h"

namespace millrace {

/// `millrace snapshot list | create --store DIR`: `list` works beside a running daemon; `create` on
/// a store that a daemon holds ends with exit 1 and names the API. `export` and `rollback` are
/// refused by name.
void add_snapshot_command(Command& program);

}  // namespace millrace
