#pragma once

#include <cstdint>
#include <vector>

#include "learner/device/panel_product.h"

/// Matrix products of factors that are rounded to bfloat16 (eight bits of mantissa, a float's
/// exponent) and summed as floats: twice the multiply-adds of a float's product where the processor
/// has an instruction for them. Inner to device/.
namespace millrace::gemm {

/// How pairs of products are added: by the processor (AVX512_BF16), or by float instructions that
/// do the same.
enum class Bf16Unit { kEmulated, kProcessor };
/// Those of this processor, the best one last.
std::vector<Bf16Unit> bf16_units();

/// c [M,N] = epilogue(a [M,K] b [K,N]); with `add`, epilogue(c + a b). a and b are rounded to the
/// nearest bfloat16, to even in the middle; denormal ones count as 0.
/// Requires: a and b are each stored by rows or by columns.
///
/// Each element is one running sum over pairs of k in order, the odd one of a pair first: its bits
/// depend neither on the rows or columns beside it nor on the unit, if denormals are flushed.
/// Memory of a thread: the rounded a, and 512 KiB; where b is stored by columns, its transpose too.
/// `b_pairs`: what bf16_pairs made of b, which is stored by rows; null: it is made here. `sums`: of
/// b's rows before they are rounded; requires: no `b_pairs`.
void bf16_product(int K, Strided<float> a, Strided<float> b, bool add,
                  const Epilogue<float>& epilogue, View<float> c,
                  const std::uint32_t* b_pairs = nullptr, const RowSums<float>& sums = {});

/// The rounded rows 2p (in the lower half) and 2p + 1 of b, or nothing, as row p of `pairs`, whose
/// stride is that of b.
void bf16_pairs(View<const float> b, std::uint32_t* pairs);

/// The product by one of this processor's units.
void bf16_product(Bf16Unit unit, int K, Strided<float> a, Strided<float> b, bool add,
                  const Epilogue<float>& epilogue, View<float> c,
                  const std::uint32_t* b_pairs = nullptr, const RowSums<float>& sums = {});

}  // namespace millrace::gemm
