#pragma once

#include <string>
#include <vector>

#include "learner/layers/mlp_bank.h"

namespace millrace {

/// Where one weight matrix or bias stands in the model's one block of parameters.
///
/// A weight is [D,H]: row d is input d's share of every output (y = x W), so that columns of the
/// input (a feature, the context) are whole rows. Rows are `stride` values apart: first layers
/// stand side by side in one matrix.
struct ParameterSlot {
  std::string name;  ///< e.g. "expert.2.layer.1.weight"; stable: state and reports use it.
  long offset = 0;
  int rows = 0;
  int cols = 0;
  long stride = 0;
  /// What it starts from: normal with variance `gain` / rows; 0: zeros.
  double gain = 0;

  bool operator==(const ParameterSlot&) const = default;
};

/// Appends the slots of member i's layers: "<kind>.<i>.layer.<first_layer + l>.{weight,bias}", for
/// every member of the bank. Hidden layers start He normal (gain 2), the last with `last_gain`.
template <class T>
void append_slots(const MlpBank<T>& bank, const std::string& kind, int first_layer,
                  double last_gain, std::vector<ParameterSlot>& slots);

/// The slots that belong to task `task` alone: its tower and its gate.
std::vector<ParameterSlot> own_slots(const std::vector<ParameterSlot>& slots, int task);

}  // namespace millrace
