#pragma once

#include "ops/commands/command_line.h"
#include "ops/config/config.h"

namespace millrace {

/// `--migrate`: where the store was made with another shape of tasks, features or model, it is
/// carried over first. Borrows `migrate` until the command has ended.
void add_migrate_option(Command& command, bool& migrate);

/// Migrates the store where its shape differs, and writes to stderr what was kept, made and
/// dropped. False, with the reason on stderr, where that cannot be done (ops/engine/migration.h):
/// the configuration must change. Throws StoreError, StateError.
bool migrate_and_tell(const Config& config);

}  // namespace millrace
