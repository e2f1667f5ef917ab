#include "learner/base/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace millrace {

void* map_huge_pages(std::size_t bytes) {
  void* const all =
      mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<char*>(all);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(all)) % kHugePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, kHugePage - before);
  // Not of a part of one: what is beyond `bytes` would be in memory with it.
  madvise(begin + before, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return begin + before;
}

}  // namespace millrace
