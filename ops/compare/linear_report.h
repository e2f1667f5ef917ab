#pragma once

#include <string>

#include "ops/compare/comparison_report.h"

namespace boost::json {
class object;
}

// What a comparison tells of the linear baseline.
namespace millrace {

/// For a terminal: a line for each task and model, then a sentence for each model (twins aside) and
/// task that does not beat it; or why there is no baseline.
std::string print_linear(const Comparison& comparison);

/// The baseline itself.
boost::json::object linear_object(const LinearReport& report);
/// A task of a model against it.
boost::json::object against_linear_object(const AgainstLinear& against, const std::string& model,
                                          const std::string& task);

}  // namespace millrace
