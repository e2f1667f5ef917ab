#include "ops/commands/snapshot.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>
#include <memory>
#include <string>

#include "store/store.h"

namespace millrace {
namespace {

constexpr std::int64_t kAll = std::numeric_limits<int>::max();

struct Arguments {
  std::string store;
  std::int64_t keep = kAll;
};

void print(const SnapshotInfo& snapshot) {
  std::cout << snapshot.name << "  commit " << snapshot.commit << "  taken "
            << print_rfc3339(snapshot.taken) << "  " << snapshot.bytes << " bytes" << '\n';
}

int list(const Arguments& arguments) {
  for (const SnapshotInfo& one : Store::open(arguments.store, Store::Access::kRead)->snapshots()) {
    print(one);
  }
  return kExitDone;
}

int create(const Arguments& arguments) {
  Store::open(arguments.store, Store::Access::kRead);  // one that is not there is not made
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  try {
    const auto store = Store::open(arguments.store, Store::Access::kWrite);
    print(store->snapshot(EventTime{now.time_since_epoch().count()},
                          static_cast<int>(std::min(arguments.keep, kAll))));
  } catch (const StoreLockedError&) {
    std::cerr << "millrace snapshot create: a running millrace holds the store in "
              << arguments.store
              << "; ask that one: curl -X POST http://<serve.listen>/v1/admin/snapshot\n";
    return kExitFailed;
  }
  return kExitDone;
}

}  // namespace

void add_snapshot_command(Command& program) {
  auto arguments = std::make_shared<Arguments>();
  Command& command = program.add_command("snapshot", "Snapshots of a store.");
  auto add = [&](const std::string& name, const std::string& description) -> Command& {
    Command& sub = command.add_command(name, description);
    sub.add_option("--store", arguments->store, "The store's folder (store.path).",
                   Command::kRequired);
    return sub;
  };
  add("list", "Lists the snapshots, oldest first.").run([arguments] { return list(*arguments); });
  Command& creating = add("create", "Takes a snapshot of a store that no daemon holds.");
  creating.add_option("--keep", arguments->keep, "How many are kept; without it, all.", 1);
  creating.run([arguments] { return create(*arguments); });
  for (const char* name : {"export", "rollback"}) command.refuse_command(name);
}

}  // namespace millrace
