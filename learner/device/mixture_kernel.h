#pragma once

#include "learner/device/backend.h"
#include "learner/device/instruction_set.h"

/// The rows of a mixture of experts (math/mixture.h) with sums in registers; the bits do not depend
/// on the instruction set. Inner to device/.
namespace millrace {

/// g = softmax of each row of u [B,n]. Of floats e^x is a polynomial (to two units in the last
/// place), eight values at a time, since a library's function takes them one by one.
template <class T>
void softmax_rows(View<const T> u, View<T> g);

/// a_e ← g_e (a_e − Σ_j g_j a_j) in each row: from slopes in g = softmax(u) to slopes in u.
template <class T>
void softmax_rows_backward(View<const T> g, View<T> a);

/// Experts that one call of `mix_rows` adds.
constexpr int kMixedAtOnce = 16;

/// v = Σ_c g[:,c] ∘ y_c, or v + it where `goes_on`: g [B,n], n ≤ kMixedAtOnce experts y_c [B,H].
template <class T>
void mix_rows(InstructionSet set, View<const T> g, const View<const T>* y, bool goes_on, View<T> v);

/// One expert y [B,H] and the gates that weigh it; g_t [B,1] their weights, dv_t [B,H]:
///   a_t = ⟨y, dv_t⟩ by rows, the slopes in g_t;   dy = Σ_t g_t ∘ dv_t, or dy + it where `goes_on`;
/// `masked`: dy is 0 where y ≤ 0.
template <class T>
void mix_rows_backward(InstructionSet set, Stack<const T> g, View<const T> y, Stack<const T> dv,
                       bool goes_on, bool masked, Stack<T> a, View<T> dy);

}  // namespace millrace
