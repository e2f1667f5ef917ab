#include "learner/base/freed_memory.h"
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
