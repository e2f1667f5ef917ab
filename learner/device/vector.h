#pragma once

#include <cstring>

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

}  // namespace millrace
