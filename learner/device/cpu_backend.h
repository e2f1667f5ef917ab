#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "learner/device/backend.h"
#include "learner/device/devices.h"
#include "learner/device/panel_product.h"

namespace millrace {

/// The processor: matrix products of a library or our own (gemm.h, panel_product.h,
/// bf16_product.h), loops over math/ for the rest. One thread: rows are cut by whoever calls
/// (threads.h). A backend holds no more than what `use_rounded` was told, so threads may share one
/// while nobody calls that; what the products need for packing belongs to the thread.
template <class T>
class CpuBackend final : public Backend<T> {
 public:
  explicit CpuBackend(Products products) : products_(products) {}

  std::string_view name() const override { return "cpu"; }
  Buffer<T> allocate(long count) override { return allocate_host<T>(count); }
  void upload(View<const T> host, View<T> device) override { copy(host, device); }
  void download(View<const T> device, View<T> host) override { copy(device, host); }
  void wait() override {}
  void copy(View<const T> from, View<T> to) override;
  void add(View<const T> from, View<T> to) override;
  void clear(View<T> to) override;
  void scale(View<T> to, T factor) override;
  void fill_rows(View<const T> row, View<T> to) override;
  void dropout(View<T> y, T probability, const RandomRows& random) override;

  void dense(Stack<const T> x, Stack<const T> w, Stack<const T> b, int relu, Stack<T> y) override;
  void dense_weights_backward(Stack<const T> x, Stack<const T> dy, bool add, Stack<T> dw,
                              Stack<T> db) override;
  void dense_inputs_backward(Stack<const T> dy, Stack<const T> w, Stack<const T> transposed,
                             Stack<const T> relu, Stack<T> dx) override;
  void round_rows(View<const T> w, std::uint32_t* pairs) override;
  void use_rounded(const T* weights, long count, const std::uint32_t* pairs) override {
    rounded_ = {weights, count, pairs};
  }
  void transpose(Stack<const T> from, Stack<T> to) override;
  void softmax(Stack<const T> u, Stack<T> g) override;
  void temper(View<const T> rho, T least, Stack<T> u) override;
  void temper_backward(View<const T> rho, T least, Stack<const T> u, bool add, Stack<T> du,
                       View<T> drho) override;
  void drop_weights(View<T> g, T probability, const RandomRows& random) override;
  void add_entropy_slope(View<const T> g, T factor, View<T> du) override;
  void add_share_slope(View<const T> g, View<const T> p, T factor, View<T> du) override;
  void normalise(View<const T> a, const Normalisation<T>& norm, View<T> h, View<T> y) override;
  void swish_backward(View<const T> h, View<T> dy) override;
  void normalise_backward(View<const T> a, const Normalisation<T>& norm, bool add, View<T> dscale,
                          View<T> dshift, View<T> dh) override;
  void add_deviations(View<const T> a, View<const T> mean, View<T> sum, View<T> squares) override;
  void rectify(View<T> y) override;
  void mix(const Mixture<T>& mixture, Stack<T> v) override;
  void mix_backward(std::span<const MixtureSlopes<T>> mixtures, bool relu, bool add,
                    ExpertStack<T> dy) override;

 private:
  /// Whether products are bf16's.
  bool rounds() const { return std::is_same_v<T, float> && products_ == Products::kBf16; }
  /// c = epilogue(a b), or of c + a b: by bf16 (with b's pairs, if they are kept), or by our own
  /// product of floats.
  void multiply(int K, gemm::Strided<T> a, gemm::Strided<T> b, bool add,
                const gemm::Epilogue<T>& epilogue, View<T> c,
                const std::uint32_t* b_pairs = nullptr, const gemm::RowSums<T>& sums = {}) const;

  struct Rounded {
    const T* weights = nullptr;
    long count = 0;
    const std::uint32_t* pairs = nullptr;
  };
  /// The pairs of a matrix; null where nobody keeps them.
  const std::uint32_t* rounded(View<const T> w) const;

  const Products products_;
  Rounded rounded_;
};

}  // namespace millrace
