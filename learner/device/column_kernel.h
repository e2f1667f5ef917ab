#pragma once

#include "learner/base/view.h"
#include "learner/device/instruction_set.h"

/// Layers of one unit, as towers end in: products that panel_product.h would compute with most of a
/// register idle. Inner to device/.
namespace millrace::gemm {

/// y_r = ⟨x_r, w⟩ of each row, in the order of math::gate_slope: x [B,D], w [D], y [B,1].
/// The bits do not depend on the instruction set.
template <class T>
void times_column(InstructionSet set, View<const T> x, const T* w, View<T> y);

}  // namespace millrace::gemm
