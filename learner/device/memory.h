#pragma once

#include <memory>

namespace millrace {

/// Memory of a device, given back by that device.
template <class T>
using Buffer = std::unique_ptr<T[], void (*)(T*)>;

/// `count` zeros in main memory, at a cache line's boundary; arrays over a megabyte on huge pages
/// where the system has them, which saves the matrix products most of their address misses.
template <class T>
Buffer<T> allocate_host(long count);

}  // namespace millrace
