#include "learner/device/memory.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "learner/base/huge_pages.h"

namespace millrace {
namespace {

constexpr std::size_t kLine = 64;

/// Arrays on huge pages; the bytes are 0.
class HugePages {
 public:
  static void* take(std::size_t bytes) {
    static std::atomic<unsigned> taken = 0;
    // Arrays that began alike would meet in a part of the second-level cache, whose sets repeat
    // every 128 KiB or so.
    const std::size_t offset = kLine + taken++ * 5 % 16 * std::size_t{8192};
    const std::size_t size = (bytes + offset + kHugePage - 1) / kHugePage * kHugePage;
    auto* const begin = static_cast<char*>(map_huge_pages(size));
    char* const memory = begin + offset;
    const Mapping mapping{begin, size};
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
