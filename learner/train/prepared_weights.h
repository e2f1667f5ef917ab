#pragma once

#include <cstdint>

#include "learner/device/devices.h"
#include "learner/model/model.h"

namespace millrace {

/// The weights in the other forms in which the tiles of a step read them: transposed, and rounded
/// to pairs of bf16. Of a batch of few rows nobody reads them often enough.
/// Memory: one or two values a weight; none where no batch is large enough. Threads: `share` what
/// `prepare` left, from any thread.
class PreparedWeights {
 public:
  /// Borrows `model`. `most_rows`: of a batch.
  PreparedWeights(const Model<float>& model, int most_rows, Products products);

  /// Before the passes of a batch of `rows` rows; `inputs`: they want slopes in x. `backend` is one
  /// of the device that they run on.
  void prepare(Backend<float>& backend, const float* weights, int rows, bool inputs);
  /// A pass in `work` by `backend` reads what was prepared, until `forget`.
  void share(Backend<float>& backend, Model<float>::Workspace& work) const;
  static void forget(Backend<float>& backend, Model<float>::Workspace& work);

 private:
  const Model<float>& model_;
  const bool rounds_;
  Buffer<float> transposed_;
  Buffer<std::uint32_t> rounded_;
  const float* weights_ = nullptr;  ///< Whose forms these are; null: of none.
};

}  // namespace millrace
