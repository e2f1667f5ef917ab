#include "tests/support/faults/faulty_files.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "tests/support/faults/plan.h"

namespace millrace {
namespace faults {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

struct State {
  std::mutex mutex;
  std::vector<Fault> plan;
};

State& state() {
  static State* const one = [] {
    auto* made = new State;
    if (const char* text = std::getenv("FAULT_FILES")) made->plan = parse_plan(text);
    return made;
  }();
  return *one;
}

// What happens now to `operation` on `path`; empty: nothing.
std::string happens(std::string_view operation, const std::string& path) {
  std::string what;
  {
    const std::lock_guard lock(state().mutex);
    if (const Fault* fault = pass(state().plan, operation, path)) what = fault->what;
  }
  if (what == "kill") {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
  }
  return what;
}

IOStatus status_of(const std::string& what, const std::string& path) {
  if (what.empty()) return IOStatus::OK();
  if (what == "ENOSPC") {  // as RocksDB's own files say it
    IOStatus status = IOStatus::NoSpace(path, "No space left on device");
    status.SetRetryable(true);
    return status;
  }
  if (what == "EIO" || what == "short") return IOStatus::IOError(path, "Input/output error");
  std::fprintf(stderr, "a file cannot fail by \"%s\"; expected EIO, ENOSPC, short or kill\n",
               what.c_str());
  std::exit(2);
}

IOStatus fault(std::string_view operation, const std::string& path) {
  return status_of(happens(operation, path), path);
}

// Whether bytes that were not synced are to be lost at a kill.
bool loses_unsynced(const std::string& path) { return happens("unsynced", path) == "lost"; }

class FaultyWritable final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FaultyWritable(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::string path)
      : FSWritableFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        holds_(loses_unsynced(path_)) {}

  using FSWritableFileOwnerWrapper::Append;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    const std::string what = happens("write", path_);
    if (what == "short") {
      held_.append(data.data(), data.size() / 2);
      (void)give(options, debug);
    }
    IOStatus status = status_of(what, path_);
    if (!status.ok()) return status;
    if (!holds_) return target()->Append(data, options, debug);
    held_.append(data.data(), data.size());
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fault("sync", path_);
    if (status.ok()) status = give(options, debug);
    return status.ok() ? target()->Sync(options, debug) : status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = fault("sync", path_);
    if (status.ok()) status = give(options, debug);
    return status.ok() ? target()->Fsync(options, debug) : status;
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    IOStatus status = give(options, debug);
    return status.ok() ? target()->Close(options, debug) : status;
  }

 private:
  IOStatus give(const IOOptions& options, IODebugContext* debug) {
    if (held_.empty()) return IOStatus::OK();
    return target()->Append(std::exchange(held_, {}), options, debug);
  }

  const std::string path_;
  const bool holds_;
  std::string held_;  // written, not synced
};

class FaultyReadable final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  FaultyReadable(std::unique_ptr<rocksdb::FSRandomAccessFile>&& file, std::string path)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), path_(std::move(path)) {}
  IOStatus Read(std::uint64_t offset, std::size_t bytes, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    const IOStatus status = fault("read", path_);
    return status.ok() ? target()->Read(offset, bytes, options, result, scratch, debug) : status;
  }

 private:
  const std::string path_;
};

class FaultyFiles final : public rocksdb::FileSystemWrapper {
 public:
  FaultyFiles() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultyFiles"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                           IODebugContext* debug) override {
    IOStatus status = fault("create", path);
    if (status.ok()) status = target()->NewWritableFile(path, options, file, debug);
    if (status.ok()) *file = std::make_unique<FaultyWritable>(std::move(*file), path);
    return status;
  }
  IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file,
                              IODebugContext* debug) override {
    IOStatus status = fault("create", path);
    if (status.ok()) status = target()->ReopenWritableFile(path, options, file, debug);
    if (status.ok()) *file = std::make_unique<FaultyWritable>(std::move(*file), path);
    return status;
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& before,
                             const rocksdb::FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* file,
                             IODebugContext* debug) override {
    IOStatus status = fault("create", path);
    if (status.ok()) status = target()->ReuseWritableFile(path, before, options, file, debug);
    if (status.ok()) *file = std::make_unique<FaultyWritable>(std::move(*file), path);
    return status;
  }
  IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                               IODebugContext* debug) override {
    IOStatus status = target()->NewRandomAccessFile(path, options, file, debug);
    if (status.ok()) *file = std::make_unique<FaultyReadable>(std::move(*file), path);
    return status;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    const IOStatus status = fault("rename", to);
    return status.ok() ? target()->RenameFile(from, to, options, debug) : status;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* debug) override {
    const IOStatus status = fault("link", to);
    return status.ok() ? target()->LinkFile(from, to, options, debug) : status;
  }
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    const IOStatus status = fault("delete", path);
    return status.ok() ? target()->DeleteFile(path, options, debug) : status;
  }
};

}  // namespace

void set_file_faults(const std::string& plan) {
  const std::lock_guard lock(state().mutex);
  state().plan = parse_plan(plan);
}

}  // namespace faults

rocksdb::Env* env_with_faults() {
  static rocksdb::Env* const env =
      rocksdb::NewCompositeEnv(std::make_shared<faults::FaultyFiles>()).release();
  return env;
}

}  // namespace millrace
