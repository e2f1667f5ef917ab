#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/join/explanation.h"
#include "serve/join_answer.h"

namespace millrace {

/// Questions about single impressions, asked on any thread and answered on the ingest thread
/// between two of its steps, so that the join needs no lock. At most `most` wait; a question that
/// is not answered in time is given up by who asked.
/// Threads: `ask` from any; `answer_all` and `close` on the ingest thread.
class JoinQuestions {
 public:
  explicit JoinQuestions(std::size_t most) : most_(most) {}

  using Answer = JoinAnswer<JoinExplanation>;
  /// Error: too many wait, no answer came in time, reading the store failed, or nothing is joined
  /// any more. One that was given up counts as waiting until the ingest thread has seen it.
  Answer ask(std::string_view impression_id, std::chrono::milliseconds timeout);

  /// Cheap where none waits.
  template <class Explain>
  void answer_all(Explain&& explain) {
    if (waiting_.load(std::memory_order_relaxed) == 0) return;
    for (auto question = take(); question; question = take()) {
      if (question->given_up) continue;
      try {
        question->answer.set_value(explain(question->id));
      } catch (const std::exception& error) {
        question->answer.set_value(JoinSilence{JoinSilence::Why::kFailed, error.what()});
      }
    }
  }
  /// No more will be answered.
  void close();

 private:
  struct Question {
    std::string id;
    std::promise<Answer> answer;
    std::atomic<bool> given_up{false};
  };
  std::shared_ptr<Question> take();

  const std::size_t most_;
  std::atomic<std::size_t> waiting_{0};
  std::mutex mutex_;  // of what follows
  std::deque<std::shared_ptr<Question>> questions_;
  bool closed_ = false;
};

}  // namespace millrace
