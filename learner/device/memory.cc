#include "learner/device/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace millrace {

template <class T>
Buffer<T> allocate_host(long count) {
  constexpr std::size_t kLine = 64, kHugePage = std::size_t{1} << 21;
  const std::size_t wanted = static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(T);
  const bool huge = wanted >= kHugePage / 2;
  const std::size_t unit = huge ? kHugePage : kLine;
  const std::size_t size = (wanted + unit - 1) / unit * unit;
  void* memory = std::aligned_alloc(unit, size);
  if (memory == nullptr) throw std::bad_alloc();
  if (huge) madvise(memory, size, MADV_HUGEPAGE);  // A wish: without it all is right, but slower.
  std::memset(memory, 0, size);
  return Buffer<T>(static_cast<T*>(memory), [](T* p) { std::free(p); });
}

template Buffer<std::uint32_t> allocate_host(long);
template Buffer<float> allocate_host(long);
template Buffer<double> allocate_host(long);

}  // namespace millrace
