#include "learner/device/memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace millrace {

namespace {

constexpr std::size_t kLine = 64, kHugePage = std::size_t{1} << 21;

/// Fresh pages, that nobody has touched: only those become huge ones at once. An allocator would
/// hand out what was given back before. The bytes are 0.
class HugePages {
 public:
  static void* take(std::size_t bytes) {
    static std::atomic<unsigned> taken = 0;
    // Arrays that began alike would meet in a part of the second-level cache, whose sets repeat
    // every 128 KiB or so.
    const std::size_t offset = kLine + taken++ * 5 % 16 * std::size_t{8192};
    const std::size_t size = (bytes + offset + kHugePage - 1) / kHugePage * kHugePage;
    void* const all =
        mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    auto* const begin = static_cast<char*>(all);
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(all)) % kHugePage;
    if (before > 0) munmap(begin, before);
    munmap(begin + before + size, kHugePage - before);
    madvise(begin + before, size, MADV_HUGEPAGE);  // A wish: without it all is right, but slower.
    char* const memory = begin + before + offset;
    const Mapping mapping{begin + before, size};
    std::memcpy(memory - sizeof mapping, &mapping, sizeof mapping);
    return memory;
  }
  static void give_back(void* memory) {
    Mapping mapping;
    std::memcpy(&mapping, static_cast<char*>(memory) - sizeof mapping, sizeof mapping);
    munmap(mapping.begin, mapping.size);
  }

 private:
  struct Mapping {  // stands before the array
    void* begin;
    std::size_t size;
  };
};

}  // namespace

template <class T>
Buffer<T> allocate_host(long count) {
  const std::size_t wanted = static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(T);
  if (wanted >= kHugePage / 2) {
    return Buffer<T>(static_cast<T*>(HugePages::take(wanted)),
                     [](T* p) { HugePages::give_back(p); });
  }
  const std::size_t size = (wanted + kLine - 1) / kLine * kLine;
  void* memory = std::aligned_alloc(kLine, size);
  if (memory == nullptr) throw std::bad_alloc();
  std::memset(memory, 0, size);
  return Buffer<T>(static_cast<T*>(memory), [](T* p) { std::free(p); });
}

template Buffer<std::uint32_t> allocate_host(long);
template Buffer<float> allocate_host(long);
template Buffer<double> allocate_host(long);

}  // namespace millrace
