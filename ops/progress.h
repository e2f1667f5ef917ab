#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace millrace {

/// Shows how far a long command is, on stderr: a bar with rate and remaining time, refreshed in
/// place, on a terminal; elsewhere a line every few seconds. Threads: one.
class ProgressBar {
 public:
  explicit ProgressBar(std::string name);
  /// Ends the line of an unfinished bar.
  ~ProgressBar();

  /// `events` so far, and `done` of `in_all` in whatever unit; call as often as you like.
  void show(std::uint64_t events, std::uint64_t done, std::uint64_t in_all);
  /// The last line: everything is done.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  const std::string name_;
  const bool terminal_;
  const Clock::time_point start_;
  Clock::time_point shown_;
  std::uint64_t events_ = 0;
  bool open_ = false;  // a bar stands on the terminal's last line
};

/// The text of one line: `[#####.....]  52 %  123,456 events  98,765/s  3 s left`.
std::string progress_line(std::uint64_t events, double seconds, double share);

}  // namespace millrace
