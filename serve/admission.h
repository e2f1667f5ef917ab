#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "learner/base/queue.h"
#include "learner/base/time.h"
#include "serve/http/message.h"
#include "serve/http/router.h"
#include "serve/server.h"

namespace millrace {

/// Threads that answer one kind of requests, behind a bounded queue: what does not fit is refused
/// at once, and what waited for longer than its client is likely to listen is not computed any
/// more. So a flood costs those who flood, and costs the other kinds nothing. Threads: `submit`
/// from any one thread.
class Admission {
 public:
  /// Answers requests on one thread; it may keep buffers between them. An exception is answered
  /// 500.
  using Handler = std::function<Answer(const RouteLine&, Request&)>;
  using Log = std::function<void(std::string_view level, const std::string& message)>;
  struct Limits {
    int threads;
    int waiting;        ///< Requests in the queue.
    Duration patience;  ///< In the queue.
  };

  /// What is counted of the queue: borrowed, each may be null.
  struct Counts {
    LatencyHistogram* waits = nullptr;              ///< The time that each request spent in it.
    std::atomic<std::uint64_t>* refused = nullptr;  ///< Found it full.
    std::atomic<std::uint64_t>* late = nullptr;     ///< Waited beyond `patience`.
  };

  /// `make_handler` is called once a thread, here.
  Admission(Limits limits, const std::function<Handler()>& make_handler, Counts counts, Log log);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission() { close(); }

  /// `request` must live until `done` was called, on one of the threads here. False: the queue is
  /// full, and `done` will not be called.
  bool submit(const RouteLine& line, Request& request, std::function<void(Answer)> done);

  /// Refuses from now on; returns once everything in the queue was answered.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    const RouteLine* line;
    Request* request;
    std::function<void(Answer)> done;
    Clock::time_point came;
  };
  void work(const Handler& handler);
  Answer answer(const Handler& handler, const Job& job);

  const Limits limits_;
  const Counts counts_;
  const Log log_;
  BoundedQueue<Job> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace millrace
