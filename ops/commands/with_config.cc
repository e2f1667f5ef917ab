#include "ops/commands/with_config.h"

#include <unistd.h>

#include <iostream>

namespace millrace {

void add_config_options(Command& command, ConfigArguments& arguments) {
  command.add_option("--config", arguments.path, "The configuration file (YAML).");
  command.add_option("--set", arguments.sets,
                     "Overrides one key: section.key=value. Rising precedence: file, environment "
                     "(MILLRACE_SECTION__KEY), --set.");
  command.add_flag("--print-config", arguments.print_config,
                   "Prints the effective configuration and ends.");
  command.add_flag("--print-schema", arguments.print_schema,
                   "Prints the JSON Schema of the configuration file and ends.");
}

int with_config(const ConfigArguments& arguments,
                const std::function<int(const LoadedConfig& loaded)>& action) {
  return with_config(arguments, load_config, action);
}

int with_config(const ConfigArguments& arguments, const ConfigLoader& load,
                const std::function<int(const LoadedConfig& loaded)>& action) {
  if (arguments.print_schema) {
    std::cout << print_config_schema();
    return kExitDone;
  }
  if (arguments.path.empty()) {
    std::cerr << "millrace: --config is required\n";
    return kExitUsage;
  }
  std::vector<ConfigOverride> overrides = overrides_from_environment(environ);
  for (const std::string& set : arguments.sets) {
    const auto equals = set.find('=');
    if (equals == std::string::npos || equals == 0) {
      std::cerr << "millrace: --set " << set << ": expected section.key=value\n";
      return kExitUsage;
    }
    overrides.push_back({set.substr(0, equals), set.substr(equals + 1), "--set"});
  }
  const auto loaded = load(arguments.path, overrides);
  if (!loaded) {
    std::cerr << loaded.error().message;
    return kExitBadConfig;
  }
  for (const std::string& warning : loaded->warnings) std::cerr << "warning: " << warning << '\n';
  if (arguments.print_config) {
    std::cout << print_config(loaded->config);
    return kExitDone;
  }
  return action(*loaded);
}

}  // namespace millrace
