#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace millrace {

/// While it lives, the calling thread's arithmetic treats denormal numbers as zeros (FTZ and DAZ of
/// x86). Adam's moments go denormal and double its time otherwise. Every thread that computes holds
/// one, so that bits do not depend on who computed them; threads of `Threads` do.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned before_;
};

/// A few threads that work through the parts of one job. The caller cuts the job by its shape,
/// never by the number of threads, and gives every part its own output: then the bits are the same
/// whatever `count` is.
///
/// Memory: none in `run`. Threads: `run` from one thread at a time.
class Threads {
 public:
  /// `count` ≥ 1 threads, the caller of `run` included: with 1 no thread is started.
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls work(part), or work(part, thread), for every part in [0, parts), each once, on any of
  /// the threads, with denormals flushed. `thread` in [0, count) is the one that calls: memory that
  /// parts need for themselves, but leave nothing in, may be one for each. Returns when all are
  /// done. Error: rethrows the exception of the lowest part that threw, after all others have
  /// ended.
  template <class Work>
  void run(int parts, Work&& work) {
    using Function = std::remove_reference_t<Work>;
    run(parts, const_cast<void*>(static_cast<const void*>(&work)),
        [](void* w, int part, [[maybe_unused]] int thread) {
          if constexpr (std::is_invocable_v<Function&, int, int>) {
            (*static_cast<Function*>(w))(part, thread);
          } else {
            (*static_cast<Function*>(w))(part);
          }
        });
  }

 private:
  using Call = void (*)(void* work, int part, int thread);
  void run(int parts, void* work, Call call);
  void serve(int thread);
  /// Takes parts of the running job until none is left. Requires: `lock` holds the mutex.
  void take_parts(int thread, std::unique_lock<std::mutex>& lock);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable begin_, end_;
  // Under the mutex:
  void* work_ = nullptr;
  Call call_ = nullptr;
  int parts_ = 0, next_ = 0, running_ = 0;
  int failed_part_ = 0;
  std::exception_ptr failure_;
  bool stop_ = false;
};

}  // namespace millrace
