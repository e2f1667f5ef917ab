#include "learner/base/freed_memory.h"

#ifdef __linux__
#include <malloc.h>
#endif

namespace millrace {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace millrace
