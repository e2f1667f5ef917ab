#include "ops/commands/snapshot.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <string>

#include "ops/wall_clock.h"
#include "serve/http/json_text.h"
#include "store/rollback.h"
#include "store/store.h"

namespace millrace {
namespace {

constexpr std::int64_t kAll = std::numeric_limits<int>::max();

struct Arguments {
  std::string store, snapshot = "latest", to, from, offsets;
  std::int64_t keep = kAll;
  bool as_json = false;
};

void write(const SnapshotInfo& snapshot, JsonWriter& json) {
  json.key("name");
  json.text(snapshot.name);
  json.key("commit");
  json.number(snapshot.commit);
  json.key("taken");
  json.text(print_rfc3339(snapshot.taken));
  json.key("bytes");
  json.number(snapshot.bytes);
}

void print(const Arguments& arguments, const SnapshotInfo& snapshot) {
  if (arguments.as_json) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    write(snapshot, json);
    json.end_object();
    std::cout << text << '\n';
    return;
  }
  std::cout << snapshot.name << "  commit " << snapshot.commit << "  taken "
            << print_rfc3339(snapshot.taken) << "  " << snapshot.bytes << " bytes" << '\n';
}

// The snapshots of a store that is there; its database may be damaged.
SnapshotFolder snapshots_of(const Arguments& arguments) {
  if (!std::filesystem::is_directory(arguments.store)) {
    throw StoreError("there is no store in " + arguments.store + "; name the folder of store.path");
  }
  return SnapshotFolder(std::filesystem::path(arguments.store) / "snapshots");
}

SnapshotInfo named(const SnapshotFolder& snapshots, const std::string& name) {
  const Result<SnapshotInfo> found = snapshots.find(name);
  if (!found) throw StoreError(found.error().message);
  return *found;
}

int list(const Arguments& arguments) {
  const std::vector<SnapshotInfo> all = snapshots_of(arguments).list();
  if (!arguments.as_json) {
    for (const SnapshotInfo& one : all) print(arguments, one);
    return kExitDone;
  }
  std::string text;
  JsonWriter json(text);
  json.begin_list();
  for (const SnapshotInfo& one : all) {
    json.begin_object();
    write(one, json);
    json.end_object();
  }
  json.end_list();
  std::cout << text << '\n';
  return kExitDone;
}

// What only the process that holds the store can do.
int held(const std::string& command, const Arguments& arguments, const std::string& request) {
  std::cerr << "millrace snapshot " << command << ": a running millrace holds the store in "
            << arguments.store << "; ask that one: curl -X POST http://<serve.listen>" << request
            << '\n';
  return kExitFailed;
}

int create(const Arguments& arguments) {
  Store::open(arguments.store, Store::Access::kRead);  // one that is not there is not made
  try {
    const auto store = Store::open(arguments.store, Store::Access::kWrite);
    print(arguments,
          store->snapshot(wall_clock(), static_cast<int>(std::min(arguments.keep, kAll))));
  } catch (const StoreLockedError&) {
    return held("create", arguments, "/v1/admin/snapshot");
  }
  return kExitDone;
}

int export_one(const Arguments& arguments) {
  const SnapshotFolder snapshots = snapshots_of(arguments);
  const SnapshotInfo snapshot = named(snapshots, arguments.snapshot);
  snapshots.export_to(snapshot, arguments.to);
  print(arguments, snapshot);
  return kExitDone;
}

// On a new disk there is no store yet: the folder is made.
int import_one(const Arguments& arguments) {
  SnapshotFolder snapshots(std::filesystem::path(arguments.store) / "snapshots");
  print(arguments, snapshots.import_from(arguments.from));
  return kExitDone;
}

// Of one, or of all.
int verify(const Arguments& arguments, bool all) {
  const SnapshotFolder snapshots = snapshots_of(arguments);
  std::vector<SnapshotInfo> wanted;
  if (all) {
    wanted = snapshots.list();
  } else {
    wanted.push_back(named(snapshots, arguments.snapshot));
  }
  std::string text;
  JsonWriter json(text);
  json.begin_list();
  bool well = true;
  for (const SnapshotInfo& one : wanted) {
    const Result<Ok> whole = snapshots.verify(one);
    well = well && whole;
    if (arguments.as_json) {
      json.begin_object();
      write(one, json);
      json.key("good");
      json.raw(whole ? "true" : "false");
      if (!whole) {
        json.key("problem");
        json.text(whole.error().message);
      }
      json.end_object();
    } else if (whole) {
      std::cout << one.name << "  good\n";
    } else {
      std::cerr << whole.error().message << '\n';
    }
  }
  json.end_list();
  if (arguments.as_json) std::cout << text << '\n';
  return well ? kExitDone : kExitFailed;
}

int rollback(const Arguments& arguments) {
  const bool keeps = arguments.offsets == "keep";
  if (!keeps && arguments.offsets != "rewind") {
    std::cerr << "millrace snapshot rollback: --offsets " << arguments.offsets
              << ": expected rewind (the events since are learned again) or keep (they are not)\n";
    return kExitUsage;
  }
  try {
    const RolledBack done = roll_back(arguments.store, arguments.to,
                                      keeps ? Offsets::kKeep : Offsets::kRewind, wall_clock());
    if (arguments.as_json) {
      std::string text;
      JsonWriter json(text);
      json.begin_object();
      json.key("snapshot");
      json.text(done.snapshot);
      json.key("offsets");
      json.text(arguments.offsets);
      json.key("from_commit");
      json.number(done.from);
      json.key("to_commit");
      json.number(done.to);
      json.key("commit");
      json.number(done.commit);
      json.end_object();
      std::cout << text << '\n';
    } else {
      std::cout << "rolled back from commit " << done.from << " to " << done.snapshot
                << ", now commit " << done.commit << ", offsets "
                << (keeps ? "as they were" : "as in the snapshot") << '\n';
    }
  } catch (const StoreLockedError&) {
    return held("rollback", arguments,
                "/v1/admin/rollback -d '{\"snapshot\": \"" + arguments.to + "\", \"offsets\": \"" +
                    arguments.offsets + "\"}'");
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
    sub.add_flag("--json", arguments->as_json, "Prints JSON.");
    return sub;
  };
  add("list", "Lists the snapshots, oldest first.").run([arguments] { return list(*arguments); });

  Command& creating = add("create", "Takes a snapshot of a store that no daemon holds.");
  creating.add_option("--keep", arguments->keep, "How many are kept; without it, all.", 1);
  creating.run([arguments] { return create(*arguments); });

  Command& exporting = add("export", "Copies a snapshot to a folder or a tar file.");
  exporting.add_option("--snapshot", arguments->snapshot, "Its name; without it, the latest.");
  exporting.add_option("--to", arguments->to, "A new folder, or a new file that ends in .tar.",
                       Command::kRequired);
  exporting.run([arguments] { return export_one(*arguments); });

  Command& importing =
      add("import",
          "Takes an exported snapshot, if every byte of it is right; makes the store's "
          "folder where there is none.");
  importing.add_option("--from", arguments->from, "The folder or the tar file.",
                       Command::kRequired);
  importing.run([arguments] { return import_one(*arguments); });

  auto one = std::make_shared<std::string>();
  Command& verifying = add("verify", "Compares snapshots with their manifests, byte for byte.");
  verifying.add_option("--snapshot", *one, "Its name, or latest; without it, all.");
  verifying.run([arguments, one] {
    if (!one->empty()) arguments->snapshot = *one;
    return verify(*arguments, one->empty());
  });

  Command& rolling = add("rollback", "Goes back to a snapshot, on a store that no daemon holds.");
  rolling.add_option("--to", arguments->to, "The snapshot's name, or latest.", Command::kRequired);
  rolling.add_option("--offsets", arguments->offsets,
                     "rewind: everything as in the snapshot, the events since are learned again. "
                     "keep: the models as in the snapshot, all else as it is.",
                     Command::kRequired);
  rolling.run([arguments] { return rollback(*arguments); });
}

}  // namespace millrace
