#ifdef __linux__
#include <malloc.h>
#endif

#include "ops/commands/bench.h"
#include "ops/commands/champion.h"
#include "ops/commands/check_config.h"
#include "ops/commands/command_line.h"
#include "ops/commands/compare.h"
#include "ops/commands/demo.h"
#include "ops/commands/freeze.h"
#include "ops/commands/inspect.h"
#include "ops/commands/replay.h"
#include "ops/commands/run.h"
#include "ops/commands/simulate.h"
#include "ops/commands/snapshot.h"

namespace {

// A commit's large buffers come and go twice a second: memory that was freed is kept for the next
// ones, up to a bound, instead of being given back and faulted in anew.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  using namespace millrace;
  keep_freed_memory();
  Command program("millrace",
                  "Learns multi-task models from Kafka without stopping, and serves their scores.");
  add_check_config_command(program);
  add_run_command(program);
  add_replay_command(program);
  add_simulate_command(program);
  add_demo_command(program);
  add_inspect_command(program);
  add_snapshot_command(program);
  add_freeze_commands(program);
  add_bench_command(program);
  add_champion_command(program);
  add_compare_command(program);
  for (const char* name : {"serve"}) program.refuse_command(name);
  return program.main(argc, argv, "millrace " MILLRACE_VERSION);
}
