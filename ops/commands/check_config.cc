#include "ops/commands/check_config.h"

#include <iostream>
#include <memory>
#include <optional>

#include "ops/commands/with_config.h"
#include "ops/config/explain.h"

namespace millrace {

void add_check_config_command(Command& program) {
  struct Arguments : ConfigArguments {
    bool print_page = false;
    std::optional<std::int64_t> rows;
  };
  auto arguments = std::make_shared<Arguments>();
  Command& command =
      program.add_command("check-config", "Parses and explains a configuration, memory included.");
  add_config_options(command, *arguments);
  command.add_flag("--print-page", arguments->print_page,
                   "Prints the page ops/docs/configuration.md and ends.");
  command.add_option(
      "--rows", arguments->rows,
      "Tell the memory with so many rows in each embedding table, instead of with as "
      "many as it may have.",
      1);
  command.run([arguments] {
    if (arguments->print_page) {
      std::cout << configuration_page();
      return kExitDone;
    }
    return with_config(*arguments, [&](const LoadedConfig& loaded) {
      std::cout << explain_config(loaded.config, arguments->rows) << "ok\n";
      return kExitDone;
    });
  });
}

}  // namespace millrace
