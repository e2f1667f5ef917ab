#pragma once

namespace millrace {

/// For a program's start: large buffers come and go with every commit and every closed window.
/// Memory that was freed is kept for the next ones, up to 256 MiB, instead of being given back and
/// faulted in anew. Of glibc's allocator; of others nothing changes.
void keep_freed_memory();

}  // namespace millrace
