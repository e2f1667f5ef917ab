#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "learner/base/random.h"
#include "learner/base/view.h"
#include "learner/device/memory.h"
#include "learner/math/mixture.h"

namespace millrace {

/// `count` matrices of one shape, each `step` values after the one before: the same layer of
/// several experts or towers. Side by side in the columns of one matrix, one below the other, or
/// (step 0) all the same one.
template <class T>
struct Stack {
  View<T> first;
  int count = 1;
  long step = 0;

  Stack() = default;
  Stack(View<T> one) : first(one) {}
  Stack(View<T> first_, int count_, long step_) : first(first_), count(count_), step(step_) {}
  /// A stack that may be written can be read; so can a single matrix.
  template <class U>
  requires std::is_same_v<const U, T> Stack(Stack<U> other)
      : first(other.first), count(other.count), step(other.step) {}
  template <class U>
  requires std::is_same_v<const U, T> Stack(View<U> one) : first(one) {}

  View<T> operator[](int i) const {
    return {first.data + i * step, first.rows, first.cols, first.stride};
  }
  bool has_shape(int n, int rows, int cols) const {
    return count == n && first.has_shape(rows, cols);
  }
};

/// The columns of `all` as `count` matrices of `cols` columns side by side; there may be none.
template <class T>
Stack<T> side_by_side(View<T> all, int count, int cols) {
  return {{all.data, all.rows, cols, all.stride}, count, cols};
}
/// As many equal ones as `count` > 0.
template <class T>
Stack<T> side_by_side(View<T> all, int count) {
  return side_by_side(all, count, all.cols / count);
}

/// The outputs of a level's experts, [B,H] each, by their number: `groups` groups of equally spaced
/// ones (of one task each), `group_step` values apart, and then the shared ones.
template <class T>
struct ExpertStack {
  Stack<T> own;  ///< The first group.
  int groups = 0;
  long group_step = 0;
  Stack<T> shared;  ///< Its count is 0 where there is none.

  ExpertStack() { shared.count = 0; }
  /// Equally spaced ones.
  ExpertStack(Stack<T> all) : shared(all) {}
  ExpertStack(Stack<T> own_, int groups_, long group_step_, Stack<T> shared_)
      : own(own_), groups(groups_), group_step(group_step_), shared(shared_) {}
  template <class U>
  requires std::is_same_v<const U, T> ExpertStack(const ExpertStack<U>& other)
      : own(other.own), groups(other.groups), group_step(other.group_step), shared(other.shared) {}

  int grouped() const { return groups == 0 ? 0 : groups * own.count; }
  int count() const { return grouped() + shared.count; }
  View<T> operator[](int e) const {
    if (e >= grouped()) return shared[e - grouped()];
    View<T> one = own[e % own.count];
    one.data += (e / own.count) * group_step;
    return one;
  }
};

/// Gates of one kind and what they mix: gate i is of task first_gate + i.
template <class T>
struct Mixture {
  math::GateReach reach;
  int first_gate = 0;
  Stack<const T> g;  ///< Weights, [B,n] each; with count 0 there is no gate.
  ExpertStack<const T> y;
};

/// A mixture and the slopes that pass through it.
template <class T>
struct MixtureSlopes {
  Mixture<T> mixture;
  Stack<const T> dv;  ///< In the mixtures, [B,H] each.
  Stack<T> du;        ///< In the gates' logits, of which g is the softmax; [B,n] each.
};

/// How units are normalised (math/normalise.h): learned scale γ and shift β, running mean and
/// variance, each [1,H].
template <class T>
struct Normalisation {
  View<const T> scale, shift, mean, variance;
};

/// Random numbers for the rows of a batch: Philox of the seed, a stream and the step, by the row's
/// place in the batch, of which these rows begin at `first_row`.
struct RandomRows {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint64_t step = 0;
  int first_row = 0;

  /// Uniform in (0, 1): the `column`-th number of a row.
  MILLRACE_HD double at(int row, int column) const {
    const auto counter = (step << 32U) + static_cast<std::uint64_t>(first_row + row);
    const auto word = static_cast<std::uint64_t>(column);
    return to_unit(philox(seed, stream + word / 4, counter)[word % 4]);
  }
};

/// What a model is computed with. One implementation per device; layers know only this.
///
/// Views point into memory of this backend's device. Outputs never overlap inputs. Operations run
/// in the order of the calls, on a GPU perhaps later: `wait` returns when all are done. Every
/// operation overwrites its output unless it says `add`. No operation takes memory, but for what a
/// thread packs factors of products in, at its first or its largest one.
/// B rows, D inputs, H units, E experts, T tasks; i counts the matrices of a stack.
/// Weights are w [D,H], so that y = x w, and the rows of w are the inputs' shares.
/// The header names no library's type, so that what includes it builds without them.
/// Threads: one at a time, each with its own backend; backends may share what they only read.
template <class T>
class Backend {
 public:
  virtual ~Backend() = default;
  /// As in `devices()`, e.g. "cpu".
  virtual std::string_view name() const = 0;
  /// `count` zeros; see memory.h.
  virtual Buffer<T> allocate(long count) = 0;
  virtual void upload(View<const T> host, View<T> device) = 0;
  /// Waits for what was queued before.
  virtual void download(View<const T> device, View<T> host) = 0;
  virtual void wait() = 0;
  /// to = from, both on the device and of one shape.
  virtual void copy(View<const T> from, View<T> to) = 0;
  /// to += from; to = 0.
  virtual void add(View<const T> from, View<T> to) = 0;
  virtual void clear(View<T> to) = 0;
  /// to *= factor; every row of `to` = row [1, columns].
  virtual void scale(View<T> to, T factor) = 0;
  virtual void fill_rows(View<const T> row, View<T> to) = 0;

  /// Each value of y becomes 0 with `probability`, and y / (1 − probability) otherwise.
  virtual void dropout(View<T> y, T probability, const RandomRows& random) = 0;

  /// A layer: y_i = x_i w_i + b_i, of which the first `relu` columns of each y_i become max(·, 0).
  /// x_i [B,D], w_i [D,H], y_i [B,H]. b_i [1,n], n ≤ H: the columns after the n-th have no bias (b
  /// may be empty).
  virtual void dense(Stack<const T> x, Stack<const T> w, Stack<const T> b, int relu,
                     Stack<T> y) = 0;

  /// A layer's slopes in its weights: dw_i = x_iᵀ dy_i and db_i = Σ_rows dy_i, where db_i [1,n]
  /// takes the first n columns (may be empty, as may dw). With `add`, both are added to what is
  /// there. dy is the slope before the activation.
  virtual void dense_weights_backward(Stack<const T> x, Stack<const T> dy, bool add, Stack<T> dw,
                                      Stack<T> db) = 0;

  /// A layer's slopes in its inputs: dx_i = dy_i w_iᵀ. Where x_i is itself the output of a ReLU,
  /// `relu` gives it, and dx_i is 0 where x_i ≤ 0: the slope before that ReLU. Empty: no mask.
  /// `transposed` gives the w_iᵀ [H,D] where somebody keeps them (empty: nobody does): a processor
  /// would form them for every tile of rows.
  virtual void dense_inputs_backward(Stack<const T> dy, Stack<const T> w, Stack<const T> transposed,
                                     Stack<const T> relu, Stack<T> dx) = 0;

  /// Of products of bf16: pairs (p, c) of the rounded w(2p, c) and w(2p + 1, c), the stride of w
  /// apart. `use_rounded` tells `dense` that the first `count` values of `weights` stay as they
  /// are, and that the pairs of a matrix in them, from its first row on, stand at its own place in
  /// `pairs`: they need not be formed for every tile of rows. Borrows both; null: none.
  virtual void round_rows(View<const T> w, std::uint32_t* pairs) = 0;
  virtual void use_rounded(const T* weights, long count, const std::uint32_t* pairs) = 0;
  /// to_i = from_iᵀ
  virtual void transpose(Stack<const T> from, Stack<T> to) = 0;

  /// g_t = softmax of each row of u_t; u_t and g_t [B,E], stacks of T.
  virtual void softmax(Stack<const T> u, Stack<T> g) = 0;

  /// u_i /= τ_i, τ_i = least + softplus(ρ_i), and from slopes du_i in what that left: du_i /= τ_i,
  /// and drho [1,n] in ρ [1,n], n matrices (`add`: added to what is there; may be empty).
  virtual void temper(View<const T> rho, T least, Stack<T> u) = 0;
  virtual void temper_backward(View<const T> rho, T least, Stack<const T> u, bool add, Stack<T> du,
                               View<T> drho) = 0;
  /// Each weight of g [B,E], rows that sum to 1, becomes 0 with `probability`; the others are
  /// divided by their sum. A row of which nothing would be left stays as it is.
  virtual void drop_weights(View<T> g, T probability, const RandomRows& random) = 0;
  /// du += factor · the slope of −H(g), H the entropy of each row, in the logits of g [B,E].
  virtual void add_entropy_slope(View<const T> g, T factor, View<T> du) = 0;
  /// du += factor · the slope of Σ_e p_e g_e in the logits of g [B,E], p [1,E] the same for all
  /// rows: what pulls a row's weights away from experts that have much.
  virtual void add_share_slope(View<const T> g, View<const T> p, T factor, View<T> du) = 0;

  /// h = γ ∘ (a − μ) / √(v + ε) + β and y = swish(h), row by row; all [B,H].
  virtual void normalise(View<const T> a, const Normalisation<T>& norm, View<T> h, View<T> y) = 0;
  /// dy, slopes in y = swish(h), becomes those in h; both [B,H].
  virtual void swish_backward(View<const T> h, View<T> dy) = 0;
  /// dh, slopes in h, becomes those in a; and dscale, dshift [1,H], slopes in γ and β (`add`: added
  /// to what is there; may both be empty).
  virtual void normalise_backward(View<const T> a, const Normalisation<T>& norm, bool add,
                                  View<T> dscale, View<T> dshift, View<T> dh) = 0;
  /// sum += Σ_rows (a − μ), squares += Σ_rows (a − μ)²; a [B,H], the others [1,H].
  virtual void add_deviations(View<const T> a, View<const T> mean, View<T> sum,
                              View<T> squares) = 0;
  /// Each value of y becomes max(·, 0).
  virtual void rectify(View<T> y) = 0;

  /// v_t = Σ_c g_t[:,c] ∘ y_{e(t,c)} (MMoE, Ma et al. 2018, eq. 6); v a stack of T [B,H].
  virtual void mix(const Mixture<T>& mixture, Stack<T> v) = 0;

  /// Of mixtures of the same experts, from dv: du, and dy_e [B,H] of all experts. With `relu`, y is
  /// the output of a ReLU and dy the slope before it. With `add`, dy is added to; du never is.
  virtual void mix_backward(std::span<const MixtureSlopes<T>> mixtures, bool relu, bool add,
                            ExpertStack<T> dy) = 0;
};

}  // namespace millrace
