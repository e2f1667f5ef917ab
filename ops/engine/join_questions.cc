#include "ops/engine/join_questions.h"

#include <utility>

namespace millrace {

using Why = JoinSilence::Why;

JoinQuestions::Answer JoinQuestions::ask(std::string_view impression_id,
                                         std::chrono::milliseconds timeout) {
  const auto question = std::make_shared<Question>();
  question->id = impression_id;
  std::future<Answer> answer = question->answer.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return JoinSilence{Why::kFailed, "nothing is joined at the moment"};
    if (questions_.size() >= most_) {
      return JoinSilence{Why::kRefused, "too many questions wait already"};
    }
    questions_.push_back(question);
    waiting_ = questions_.size();
  }
  if (answer.wait_for(timeout) != std::future_status::ready) {
    question->given_up = true;
    return JoinSilence{Why::kTimedOut, "the join is busy, and gave no answer in time"};
  }
  return answer.get();
}

std::shared_ptr<JoinQuestions::Question> JoinQuestions::take() {
  const std::lock_guard lock(mutex_);
  if (questions_.empty()) return nullptr;
  auto question = std::move(questions_.front());
  questions_.pop_front();
  waiting_ = questions_.size();
  return question;
}

void JoinQuestions::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  for (auto question = take(); question; question = take()) {
    question->answer.set_value(JoinSilence{Why::kFailed, "nothing is joined any more"});
  }
}

}  // namespace millrace
