#pragma once

#include <functional>
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
  /// What it starts from: normal with variance `gain` / rows, at 2 (a layer with an activation) in
  /// pairs of units (`initialise_slots`); 0: `start`.
  double gain = 0;
  /// The one task whose loss reaches it; −1: several tasks' losses do.
  int task = -1;
  /// False: no gradient moves it (running statistics, measured similarities); it is saved,
  /// published and migrated as a weight.
  bool trained = true;
  double start = 0;  ///< What it starts from where `gain` is 0.
  /// Equal parts of the rows, each the outputs of a layer that starts in pairs; 0: they are not.
  int input_parts = 0;
  /// Its units start without partners although they have an activation.
  bool alone = false;

  bool operator==(const ParameterSlot&) const = default;
};

/// How many values these slots have.
long count_values(const std::vector<ParameterSlot>& slots);

/// Appends the slots of member i's layers: "<kind>.<i>.layer.<first_layer + l>.{weight,bias}", for
/// every member of the bank. Hidden layers start He normal (gain 2), the last with `last_gain`.
/// `input_parts`: of the first layer's rows. `of_tasks`: member i belongs to task i.
template <class T>
void append_slots(const MlpBank<T>& bank, const std::string& kind, int first_layer,
                  double last_gain, int input_parts, bool of_tasks,
                  std::vector<ParameterSlot>& slots);

/// As above, of members with the given names ("expert.2") and tasks (−1: of several).
template <class T>
void append_bank_slots(const MlpBank<T>& bank, const std::function<std::string(int)>& name,
                       const std::function<int(int)>& task, int first_layer, double last_gain,
                       int input_parts, std::vector<ParameterSlot>& slots);

/// The slots that only task `task`'s loss reaches: its tower, and what of the backbone is its own.
std::vector<ParameterSlot> own_slots(const std::vector<ParameterSlot>& slots, int task);

/// The slots that are trained and that several tasks' losses reach.
std::vector<ParameterSlot> shared_slots(const std::vector<ParameterSlot>& slots);

/// The slots that no gradient moves.
std::vector<ParameterSlot> fixed_slots(const std::vector<ParameterSlot>& slots);

}  // namespace millrace
