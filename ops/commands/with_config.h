#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/commands/command_line.h"
#include "ops/config/load.h"

namespace millrace {

/// The options that every command with a configuration shares.
struct ConfigArguments {
  std::string path;               ///< --config
  std::vector<std::string> sets;  ///< --set section.key=value, each
  bool print_config = false;      ///< --print-config
  bool print_schema = false;      ///< --print-schema
};

/// Declares them. Borrows `arguments` until the command has ended.
void add_config_options(Command& command, ConfigArguments& arguments);

/// Loads a configuration from a file and overrides, as load_config does.
using ConfigLoader = std::function<Result<LoadedConfig>(
    const std::string& path, const std::vector<ConfigOverride>& overrides)>;

/// Loads the configuration (file, then environment, then --set), writes its warnings to stderr, and
/// runs `action` with it. Answers `--print-config` and `--print-schema` instead where asked for.
/// Returns the action's exit code; kExitBadConfig after the errors on stderr; kExitUsage without
/// `--config` or with a `--set` that is no key=value.
int with_config(const ConfigArguments& arguments,
                const std::function<int(const LoadedConfig& loaded)>& action);
/// The same by another loader.
int with_config(const ConfigArguments& arguments, const ConfigLoader& load,
                const std::function<int(const LoadedConfig& loaded)>& action);

}  // namespace millrace
