#pragma once

#include <stdexcept>

namespace millrace {

/// The store cannot be opened, read or written; says which folder, why, and what to do next. The
/// surroundings' doing: thrown, and caught by the one handler of a thread's loop.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Another process holds the store.
struct StoreLockedError : StoreError {
  using StoreError::StoreError;
};
/// The disk is full, or nearly so.
struct StoreFullError : StoreError {
  using StoreError::StoreError;
};
/// What is on the disk is not what was written: nothing of it may be used.
struct StoreDamagedError : StoreError {
  using StoreError::StoreError;
};

}  // namespace millrace
