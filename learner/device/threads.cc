#include "learner/device/threads.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "learner/base/check.h"

namespace millrace {
namespace {

#if defined(__x86_64__)
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
unsigned flush_denormals() {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
  return before;
}
void restore_denormals(unsigned before) {
  constexpr unsigned kBits = kFlushToZero | kDenormalsAreZero;
  _mm_setcsr((_mm_getcsr() & ~kBits) | (before & kBits));
}
#else
unsigned flush_denormals() { return 0; }
void restore_denormals(unsigned) {}
#endif

}  // namespace

FlushDenormals::FlushDenormals() : before_(flush_denormals()) {}
FlushDenormals::~FlushDenormals() { restore_denormals(before_); }

Threads::Threads(int count) {
  MILLRACE_CHECK(count >= 1);
  workers_.reserve(static_cast<std::size_t>(count - 1));
  for (int i = 1; i < count; ++i) workers_.emplace_back([this, i] { serve(i); });
}

Threads::~Threads() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  begin_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Threads::run(int parts, void* work, Call call) {
  const FlushDenormals flush;
  std::unique_lock lock(mutex_);
  MILLRACE_CHECK(next_ == parts_ && running_ == 0);
  work_ = work;
  call_ = call;
  parts_ = parts;
  next_ = 0;
  failure_ = nullptr;
  if (parts > 1) begin_.notify_all();
  take_parts(0, lock);
  end_.wait(lock, [this] { return running_ == 0; });
  if (failure_) std::rethrow_exception(failure_);
}

void Threads::serve(int thread) {
  const FlushDenormals flush;
  std::unique_lock lock(mutex_);
  while (true) {
    begin_.wait(lock, [this] { return stop_ || next_ < parts_; });
    if (stop_) return;
    take_parts(thread, lock);
  }
}

void Threads::take_parts(int thread, std::unique_lock<std::mutex>& lock) {
  while (next_ < parts_) {
    const int part = next_++;
    ++running_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      call_(work_, part, thread);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && (!failure_ || part < failed_part_)) {
      failure_ = failure;
      failed_part_ = part;
    }
    if (--running_ == 0 && next_ == parts_) end_.notify_one();
  }
}

}  // namespace millrace
