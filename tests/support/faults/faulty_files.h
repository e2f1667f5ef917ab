#pragma once

#include <string>

namespace rocksdb {
class Env;
}

namespace millrace {

namespace faults {
/// Replaces the plan of faults of files (from the environment's FAULT_FILES at first) for a test in
/// one process; empty: nothing happens. Threads: any.
void set_file_faults(const std::string& plan);
}  // namespace faults

/// The files of the machine, which fail where the plan says so. What store/database.cc opens its
/// databases with where MILLRACE_FAILPOINTS is defined. Lives for ever.
rocksdb::Env* env_with_faults();

}  // namespace millrace
