#include "ops/commands/inspect.h"

#include <iostream>
#include <memory>
#include <string>

#include "ops/inspection.h"

namespace millrace {

void add_inspect_command(Command& program) {
  struct Arguments {
    std::string store;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command(
      "inspect", "Prints the last commit of a store, also beside a running daemon.");
  command.add_option("--store", arguments->store, "The store's folder (store.path).",
                     Command::kRequired);
  command.add_flag("--json", arguments->json, "Prints one JSON object.");
  command.run([arguments] {
    const Inspection found = inspect(*Store::open(arguments->store, Store::Access::kRead));
    std::cout << (arguments->json ? to_json(found) + '\n' : to_text(found));
    return kExitDone;
  });
}

}  // namespace millrace
