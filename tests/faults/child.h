#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace millrace {

/// Runs one disabled test of this program in a process of its own (RocksDB's threads do not survive
/// a fork alone), with `environment` added to ours: FAULT_POINTS, FAULT_FILES and what the test
/// reads by `told`. Returns how it ended, as waitpid does.
inline int run_child(const std::string& test,
                     const std::map<std::string, std::string>& environment) {
  const pid_t process = ::fork();
  if (process == 0) {
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    const std::string filter = "--gtest_filter=" + test;
    ::execl("/proc/self/exe", "faults_test", filter.c_str(), "--gtest_also_run_disabled_tests",
            "--gtest_brief=1", nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(process, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) throw std::runtime_error("no child");
  return status;
}

/// Whether a fault killed it.
inline bool is_killed(const std::string& test,
                      const std::map<std::string, std::string>& environment) {
  const int status = run_child(test, environment);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/// Whether it went through.
inline bool is_done(const std::string& test,
                    const std::map<std::string, std::string>& environment) {
  const int status = run_child(test, environment);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// In the child: what it was told under this name.
inline std::string told(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error("only to be run as a child");
  return value;
}

}  // namespace millrace
