#include "ops/commands/check_config.h"

#include <iostream>
#include <memory>

#include "ops/commands/with_config.h"
#include "ops/config/explain.h"

namespace millrace {

void add_check_config_command(Command& program) {
  struct Arguments : ConfigArguments {
    bool print_page = false;
  };
  auto arguments = std::make_shared<Arguments>();
  Command& command =
      program.add_command("check-config", "Parses and explains a configuration, memory included.");
  add_config_options(command, *arguments);
  command.add_flag("--print-page", arguments->print_page,
                   "Prints the page ops/docs/configuration.md and ends.");
  command.run([arguments] {
    if (arguments->print_page) {
      std::cout << configuration_page();
      return kExitDone;
    }
    return with_config(*arguments, [](const LoadedConfig& loaded) {
      std::cout << explain_config(loaded.config) << "ok\n";
      return kExitDone;
    });
  });
}

}  // namespace millrace
