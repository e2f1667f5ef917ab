#include "ops/commands/run.h"

#include <cstdio>
#include <memory>

#include "ops/commands/migrate.h"
#include "ops/commands/with_config.h"
#include "ops/engine/service.h"
#include "ops/log.h"
#include "ops/signals.h"

namespace millrace {
namespace {

int run(const LoadedConfig& loaded, bool migrate) {
  if (migrate && !migrate_and_tell(loaded.config)) return kExitBadConfig;
  const std::atomic<bool>& stop = stop_on_signals();
  auto made = Service::make(loaded.config, log_line, [&stop] { return stop.load(); });
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().message.c_str());
    return kExitBadConfig;
  }
  Service& service = **made;
  bool well = false;
  try {
    service.start();
    well = service.run(stop, {});
  } catch (const IdentityError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return kExitBadConfig;
  }
  log_line("info", "stopped");
  return well ? kExitDone : kExitFailed;
}

}  // namespace

void add_run_command(Command& program) {
  struct Arguments {
    ConfigArguments config;
    bool migrate = false;
  };
  auto arguments = std::make_shared<Arguments>();
  Command& command =
      program.add_command("run", "Consumes, joins, learns, commits and serves until SIGTERM.");
  add_config_options(command, arguments->config);
  add_migrate_option(command, arguments->migrate);
  command.run([arguments] {
    return with_config(arguments->config,
                       [&](const LoadedConfig& loaded) { return run(loaded, arguments->migrate); });
  });
}

}  // namespace millrace
