#pragma once

#include <string>
#include <string_view>

#include "ingest/event/event.h"
#include "ingest/join/explanation.h"
#include "learner/data/schema.h"

namespace millrace {

/// What is known of one impression as the JSON of /v1/join/{impression_id}, which openapi.yaml
/// describes; ends with a line break.
std::string join_text(std::string_view impression_id, const JoinExplanation& found,
                      const Schema& schema, const EventTypes& types);

}  // namespace millrace
