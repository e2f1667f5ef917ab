#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

/// Registers of `L` lanes in the compiler's vector extensions, for loops with one body for all
/// widths. Such a body is inlined (MILLRACE_INLINE) into functions that are compiled for one
/// instruction set each; no function of it stands alone, so none is compiled for a wrong one.
/// Inner to device/.
namespace millrace {

#define MILLRACE_INLINE [[gnu::always_inline]] inline

template <class T, int L>
struct Register {
  typedef T Type __attribute__((vector_size(L * sizeof(T))));
};
template <class T, int L>
using Vec = typename Register<T, L>::Type;

/// Lanes of a register of AVX2 and of AVX-512.
template <class T>
constexpr int kLanes = 32 / sizeof(T);
template <class T>
constexpr int kWideLanes = 64 / sizeof(T);

template <class V, class T>
MILLRACE_INLINE void load(const T* from, V& v) {
  std::memcpy(&v, from, sizeof v);
}
template <class V, class T>
MILLRACE_INLINE void store(const V& v, T* to) {
  std::memcpy(to, &v, sizeof v);
}

/// Integers as wide as a T, as comparisons of Ts give them.
template <class T>
using Whole = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

/// 0, 1, …, one a lane.
template <class V, int... lane>
MILLRACE_INLINE void number_lanes(V& v, std::integer_sequence<int, lane...>) {
  ((v[lane] = lane), ...);
}

/// The first `count` lanes of a register of L elements of T, for memory that ends within it.
template <class T, int L>
class FirstLanes {
 public:
  MILLRACE_INLINE explicit FirstLanes(int count) {
#if defined(__x86_64__)
    if constexpr (sizeof(Vec<T, L>) == 64) {
      mask_ = static_cast<Mask>((1U << count) - 1);
    } else {
      Vec<Whole<T>, L> lanes;
      number_lanes(lanes, std::make_integer_sequence<int, L>{});
      mask_ = lanes < static_cast<Whole<T>>(count);
    }
#else
    mask_ = count;
#endif
  }
  /// Reads these alone; the others become 0.
  MILLRACE_INLINE void load(const T* from, Vec<T, L>& v) const {
#if defined(__x86_64__)
    const auto& memory = *reinterpret_cast<const Bytes*>(from);
    if constexpr (sizeof v == 64 && sizeof(T) == 4) {
      asm("vmovups %2, %0%{%1%}%{z%}" : "=v"(v) : "Yk"(mask_), "m"(memory));
    } else if constexpr (sizeof v == 64) {
      asm("vmovupd %2, %0%{%1%}%{z%}" : "=v"(v) : "Yk"(mask_), "m"(memory));
    } else if constexpr (sizeof(T) == 4) {
      asm("vmaskmovps %2, %1, %0" : "=x"(v) : "x"(mask_), "m"(memory));
    } else {
      asm("vmaskmovpd %2, %1, %0" : "=x"(v) : "x"(mask_), "m"(memory));
    }
#else
    v = Vec<T, L>{};
    std::memcpy(&v, from, mask_ * sizeof(T));
#endif
  }
  /// Writes these alone.
  MILLRACE_INLINE void store(const Vec<T, L>& v, T* to) const {
#if defined(__x86_64__)
    auto& memory = *reinterpret_cast<Bytes*>(to);
    if constexpr (sizeof v == 64 && sizeof(T) == 4) {
      asm("vmovups %2, %0%{%1%}" : "+m"(memory) : "Yk"(mask_), "v"(v));
    } else if constexpr (sizeof v == 64) {
      asm("vmovupd %2, %0%{%1%}" : "+m"(memory) : "Yk"(mask_), "v"(v));
    } else if constexpr (sizeof(T) == 4) {
      asm("vmaskmovps %2, %1, %0" : "+m"(memory) : "x"(mask_), "x"(v));
    } else {
      asm("vmaskmovpd %2, %1, %0" : "+m"(memory) : "x"(mask_), "x"(v));
    }
#else
    std::memcpy(to, &v, mask_ * sizeof(T));
#endif
  }

 private:
#if defined(__x86_64__)
  using Mask = std::conditional_t<sizeof(Vec<T, L>) == 64, std::uint16_t, Vec<Whole<T>, L>>;
  /// What an instruction may touch, wherever it stands and whatever else it is.
  struct [[gnu::may_alias]] Bytes {
    char bytes[sizeof(Vec<T, L>)];
  };
#else
  using Mask = std::size_t;
#endif
  Mask mask_;
};

}  // namespace millrace
