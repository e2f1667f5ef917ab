#pragma once

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// Each reads one of the three sections that have no defaults into `config`, with all that must
/// hold within the section; `node` is null where the section is not there.

/// `events`: topics and windows.
void read_events(ConfigReader& reader, const ConfigNode* node, Config& config);

/// `features`: a list; what belongs to which type; shared tables.
void read_features(ConfigReader& reader, const ConfigNode* node, Config& config);

/// `tasks`: a list; kinds, labels, conditions. Reads config.events, and puts the outcomes that
/// tasks use first there, in the order of the tasks: so what is stored by an outcome's index does
/// not depend on the order in which a file names them. `doubts` gets what has no effect.
void read_tasks(ConfigReader& reader, const ConfigNode* node, Config& config,
                std::vector<Problem>& doubts);

}  // namespace millrace
