#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model/parameter_block.h"

namespace millrace {

/// Initial values: normal with variance gain / fan-in (He et al. 2015 for gain 2), its start
/// where the gain is 0. Each slot draws from its own stream, the hash of its name, so that experts
/// differ (equal ones would stay equal for ever), and a slot's values do not depend on what else
/// the model has. Requires: the slots lie within `weights`; values outside of slots stay as they
/// are.
template <class T>
void initialise_slots(const std::vector<ParameterSlot>& slots, std::uint64_t seed,
                      std::span<T> weights);

}  // namespace millrace
