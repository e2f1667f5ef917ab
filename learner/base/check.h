#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the process when `condition` does not hold; on in every build. For our own mistakes only:
/// what comes from outside is answered with a Result, what the surroundings do with an exception.
#define MILLRACE_CHECK(condition)                                                        \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
