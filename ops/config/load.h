#pragma once

#include <optional>
#include <string>
#include <vector>

#include "learner/base/result.h"
#include "ops/config/config.h"
#include "ops/config/document.h"

namespace millrace {

/// One `--set section.key=value` of the command line, or MILLRACE_SECTION__KEY of the environment.
struct ConfigOverride {
  std::string key;     ///< "train.batch"
  std::string value;   ///< YAML text
  std::string origin;  ///< "--set" or the variable's name, for messages.
};

/// A configuration, and what is doubtful about it.
struct LoadedConfig {
  Config config;
  std::vector<std::string> warnings;
};

/// Reads and checks a YAML file, then the overrides in their order (later ones win).
/// Error: every problem found, one a line: `FILE:LINE: key: value … what was expected`.
Result<LoadedConfig> load_config(const std::string& path,
                                 const std::vector<ConfigOverride>& overrides);
/// The same from text; `name` stands for the file in messages.
Result<LoadedConfig> load_config_text(const std::string& text, const std::string& name,
                                      const std::vector<ConfigOverride>& overrides);

/// The same from a tree that was parsed (and perhaps changed) before, with the problems so far.
std::optional<ConfigNode> parse_config_tree(const std::string& text, const std::string& name,
                                            std::vector<Problem>& problems);
Result<LoadedConfig> load_config_tree(ConfigNode root, std::vector<Problem> problems,
                                      const std::vector<ConfigOverride>& overrides);
/// The text of a configuration file. Error: as load_config.
Result<std::string> read_config_file(const std::string& path);

/// The overrides that the environment holds.
std::vector<ConfigOverride> overrides_from_environment(char** environment);

/// The effective configuration as YAML that loads back to the same; secrets are redacted.
std::string print_config(const Config& config);
/// The JSON Schema of the configuration file.
std::string print_config_schema();
/// The page ops/docs/configuration.md, from the declared fields.
std::string configuration_page();

}  // namespace millrace
