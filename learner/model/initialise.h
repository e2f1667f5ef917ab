#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model/parameter_block.h"

namespace millrace {

/// Initial values: normal with variance gain / fan-in (He et al. 2015 for gain 2), its start
/// where the gain is 0. Each slot draws from its own stream, the hash of its name, so that experts
/// differ (equal ones would stay equal for ever), and a slot's values do not depend on what else
/// the model has.
///
/// Units with an activation start in pairs, w and −w, and what reads them starts with v and −v
/// ("looks linear", Balduzzi et al. 2017, arXiv 1702.08591): v relu(wx) − v relu(−wx) = v w x, and
/// the same with Swish, so that the model starts as a linear function of its input, whose slopes do
/// not cancel each other at random. It bends as it learns, for the two of a pair learn from
/// different rows. The second half of a layer's units (or of a part's, `input_parts`) are the
/// first's partners; of an odd number the last has none. The first steps learn much faster for it.
///
/// Partners begin with half as many directions. Where an expert (a bottom) has one layer, those are
/// all that it has to bend along, and slopes have few layers to cancel in: there units that read
/// the model's input start alone (`alone`). In MMoE's synthetic experiment (`make
/// mmoe-experiment`) the errors are smaller for it; on tables such small experts gain nothing by
/// pairs.
///
/// Requires: the slots lie within `weights`; values between them become 0.
template <class T>
void initialise_slots(const std::vector<ParameterSlot>& slots, std::uint64_t seed,
                      std::span<T> weights);

}  // namespace millrace
