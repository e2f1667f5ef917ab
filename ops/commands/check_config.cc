#include "ops/commands/check_config.h"

#include <iostream>
#include <memory>

#include "ops/commands/with_config.h"

namespace millrace {

void add_check_config_command(Command& program) {
  auto arguments = std::make_shared<ConfigArguments>();
  Command& command =
      program.add_command("check-config", "Parses and explains a configuration, memory included.");
  add_config_options(command, *arguments);
  command.run([arguments] {
    return with_config(*arguments, [](const LoadedConfig&) {
      std::cout << "ok\n";
      return kExitDone;
    });
  });
}

}  // namespace millrace
