#include "ops/commands/migrate.h"

#include <cstdio>

#include "ops/engine/engine.h"
#include "ops/engine/migration.h"
#include "ops/wall_clock.h"

namespace millrace {

void add_migrate_option(Command& command, bool& migrate) {
  command.add_flag(
      "--migrate", migrate,
      "Where the store has other tasks, features or experts: keep what still fits, make "
      "the rest anew, and say so.");
}

bool migrate_and_tell(const Config& config) try {
  if (const auto report = migrate_store(config, wall_clock())) {
    std::fprintf(stderr, "the store in %s was migrated\n%s", config.store.path.c_str(),
                 to_text(*report).c_str());
  } else {
    std::fprintf(stderr, "nothing to migrate: the store in %s fits the configuration\n",
                 config.store.path.c_str());
  }
  return true;
} catch (const IdentityError& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return false;
}

}  // namespace millrace
