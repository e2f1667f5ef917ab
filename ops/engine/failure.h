#pragma once

#include <atomic>
#include <mutex>
#include <string>

namespace millrace {

/// The first failure of the surroundings that stopped learning; serving goes on. Threads: any.
class Failure {
 public:
  void report(const std::string& message) {
    const std::lock_guard lock(mutex_);
    if (failed_) return;
    message_ = message;
    failed_ = true;
  }
  bool happened() const { return failed_; }
  std::string message() const {
    const std::lock_guard lock(mutex_);
    return message_;
  }

 private:
  mutable std::mutex mutex_;
  std::string message_;
  std::atomic<bool> failed_{false};
};

}  // namespace millrace
