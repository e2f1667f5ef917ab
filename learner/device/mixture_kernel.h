#pragma once

#include <span>

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

/// Gates that one call of `mix_rows` or `mix_rows_backward` takes.
constexpr int kGatesAtOnce = 4;

/// A gate of the same experts as others, and its mixture.
template <class T>
struct MixedGate {
  View<const T> g;  ///< [B,n]
  View<T> v;        ///< [B,H]
};

/// v_t = Σ_c g_t[:,c] ∘ y_c, or v_t + it where `goes_on`, of one to kGatesAtOnce gates: n ≤
/// kMixedAtOnce experts y_c [B,H].
template <class T>
void mix_rows(InstructionSet set, std::span<const MixedGate<T>> gates, const View<const T>* y,
              bool goes_on);

/// A gate of an expert.
template <class T>
struct GateColumn {
  View<const T> g;   ///< Its weight, [B,1].
  View<const T> dv;  ///< The slope in its mixture, [B,H].
  View<T> a;         ///< Becomes the slope in its weight, [B,1].
};

/// One expert y [B,H] and one to kGatesAtOnce gates that weigh it:
///   a_t = ⟨y, dv_t⟩ by rows;   dy = Σ_t g_t ∘ dv_t, or dy + it where `goes_on`;
/// `masked`: dy is 0 where y ≤ 0.
template <class T>
void mix_rows_backward(InstructionSet set, std::span<const GateColumn<T>> gates, View<const T> y,
                       bool goes_on, bool masked, View<T> dy);

}  // namespace millrace
