#pragma once

#include <cstdint>
#include <string>

namespace millrace {

/// Whether the weights that are served still learn. Scores are answered in every state.
struct LearningStatus {
  enum class State {
    kRunning,
    kPaused,      ///< Too little room on the disk; goes on by itself.
    kRestarting,  ///< After a failure; tries again by itself.
    kStopped,     ///< A policy says so; a person has to do something.
    kRollingBack,
  };
  State state = State::kRunning;
  std::string reason;          ///< Why it does not run; empty where it does.
  std::uint64_t restarts = 0;  ///< Times that learning was started again, since the process began.
};

/// "running", "paused", "restarting", "stopped", "rolling_back": as /readyz and metrics have it.
inline constexpr const char* kLearningStates[] = {"running", "paused", "restarting", "stopped",
                                                  "rolling_back"};
inline const char* state_name(LearningStatus::State state) {
  return kLearningStates[static_cast<int>(state)];
}

}  // namespace millrace
