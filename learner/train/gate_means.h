#pragma once

#include <functional>
#include <vector>

#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/device/threads.h"
#include "learner/layers/input_layer.h"
#include "learner/model/model.h"

namespace millrace {

/// What the load-balance penalty of a step's gates needs before its first backward pass, and no
/// tile of rows knows alone: the mean of every gate's weights over the batch. It takes a forward
/// pass of all rows; the sums are added chunk by chunk, so no thread changes a bit.
/// Memory: a few numbers a gate and chunk. Threads: one at a time.
class GateMeans {
 public:
  /// Borrows `model`; `tile`: the rows that its workspaces are for.
  GateMeans(const Model<float>& model, int tile) : model_(model), tile_(tile) {}

  /// Where a thread computes.
  struct Place {
    Model<float>::Workspace& work;
    float* x;  ///< [tile, D]
  };
  /// Hands the means to the workspace of each thread, where there is a penalty; else it does
  /// nothing. `pass` is that of the step, whose rows `inputs` has looked up; overwrites the places
  /// and z [rows, T].
  void measure(const Batch& batch, const Pass& pass, const float* weights, const InputLayer& inputs,
               float* z, Threads& threads, const std::function<Place(int thread)>& place);

 private:
  const Model<float>& model_;
  const int tile_;
  std::vector<std::vector<double>> sums_;  ///< By chunk.
};

}  // namespace millrace
