#pragma once

#include <cstdint>
#include <vector>

#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// Gives candidates the values of the context for those of their features that they do not have.
/// `has` [rows, features] and `context_has` [features] say what was set. Works on batches, so that
/// the context may stand behind the candidates in the request.
void fill_from_context(const Schema& schema, const std::vector<std::uint8_t>& context_has,
                       const std::vector<std::uint8_t>& has, const Batch& context,
                       Batch& candidates);

}  // namespace millrace
