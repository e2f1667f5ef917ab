#include "serve/admission.h"

#include <exception>
#include <utility>

#include "serve/http/respond.h"

namespace millrace {
namespace {

void count_one(std::atomic<std::uint64_t>* count) {
  if (count != nullptr) count->fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Admission::Admission(Limits limits, const std::function<Handler()>& make_handler, Counts counts,
                     Log log)
    : limits_(limits),
      counts_(counts),
      log_(std::move(log)),
      queue_(static_cast<std::size_t>(limits.waiting)) {
  for (int t = 0; t < limits.threads; ++t) {
    threads_.emplace_back([this, handler = make_handler()] { work(handler); });
  }
}

void Admission::close() {
  queue_.close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

bool Admission::submit(const RouteLine& line, Request& request, std::function<void(Answer)> done) {
  Job job{&line, &request, std::move(done), Clock::now()};
  const bool room = queue_.try_push(job);
  if (!room) count_one(counts_.refused);
  return room;
}

void Admission::work(const Handler& handler) {
  while (auto job = queue_.pop()) {
    Answer result = answer(handler, *job);
    job->done(std::move(result));
  }
}

Answer Admission::answer(const Handler& handler, const Job& job) {
  const auto waited = Clock::now() - job.came;
  if (counts_.waits != nullptr)
    counts_.waits->observe(std::chrono::duration<double>(waited).count());
  if (waited > limits_.patience) {
    count_one(counts_.late);
    return error_answer(503, "the request waited too long for its turn; try again later",
                        job.request->id);
  }
  try {
    return handler(*job.line, *job.request);
  } catch (const std::exception& problem) {
    if (log_) {
      log_("error", "request " + job.request->id + " to " + std::string(job.line->path) +
                        " failed: " + problem.what());
    }
    return error_answer(500, "the request could not be answered; the log has the reason",
                        job.request->id);
  }
}

}  // namespace millrace
