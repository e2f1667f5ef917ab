#pragma once

#include <atomic>

namespace millrace {

/// From now on SIGINT and SIGTERM set the flag that is returned; a second one ends the process at
/// once. What was committed is safe either way.
const std::atomic<bool>& stop_on_signals();

}  // namespace millrace
