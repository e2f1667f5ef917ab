#pragma once

#include <cstddef>

namespace millrace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;

/// `bytes` of fresh memory of the system, all 0, that begin with a huge page; whole huge pages are
/// wished for, which without them is right, but slower. Only pages that nobody has touched become
/// huge ones at once, and an allocator that aligns so far leaves as much between two of them.
/// Requires: bytes are a multiple of the system's pages. Given back by munmap(·, bytes).
/// Error: throws std::bad_alloc.
void* map_huge_pages(std::size_t bytes);

}  // namespace millrace
