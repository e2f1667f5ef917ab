#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace millrace {

/// A second process that runs one disabled test of this program, with the store's path in the
/// environment; what the test writes with `tell` comes through a pipe. Killed at the end.
class Child {
 public:
  Child(const std::string& test, const std::string& store) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(ends[1], kTold);
      ::setenv("MILLRACE_TEST_STORE", store.c_str(), 1);
      const std::string filter = "--gtest_filter=" + test;
      ::execl("/proc/self/exe", "store_test", filter.c_str(), "--gtest_also_run_disabled_tests",
              "--gtest_brief=1", nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    told_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill();
    ::close(told_);
  }

  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    wait();
  }
  /// Its exit status.
  int wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// The next number that it told; 0 when it has ended.
  std::uint64_t next() {
    std::uint64_t number = 0;
    return ::read(told_, &number, sizeof number) == sizeof number ? number : 0;
  }

  /// In the child.
  static std::string store() {
    const char* path = std::getenv("MILLRACE_TEST_STORE");
    if (path == nullptr) throw std::runtime_error("only to be run as a child");
    return path;
  }
  static void tell(std::uint64_t number) {
    if (::write(kTold, &number, sizeof number) != sizeof number) std::abort();
  }

 private:
  static constexpr int kTold = 77;
  int process_ = -1;
  int told_ = -1;
};

}  // namespace millrace
