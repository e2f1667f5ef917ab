#include "ops/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace millrace {
namespace {

constexpr std::size_t kBarWidth = 30;

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

}  // namespace

ProgressBar::ProgressBar(std::string name)
    : name_(std::move(name)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      shown_(start_) {}

ProgressBar::~ProgressBar() {
  if (open_) std::fputc('\n', stderr);
}

void ProgressBar::show(std::uint64_t events, std::uint64_t done, std::uint64_t in_all) {
  events_ = events;
  const auto now = Clock::now();
  if (now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5))) return;
  shown_ = now;
  const std::chrono::duration<double> took = now - start_;
  const double share =
      in_all == 0 ? 0 : static_cast<double>(done) / static_cast<double>(std::max(in_all, done));
  const std::string line = name_ + " " + progress_line(events, took.count(), share);
  std::fprintf(stderr, terminal_ ? "\r%s\033[K" : "%s\n", line.c_str());
  std::fflush(stderr);
  open_ = terminal_;
}

void ProgressBar::finish() {
  const std::chrono::duration<double> took = Clock::now() - start_;
  const std::string line = name_ + " " + progress_line(events_, took.count(), 1);
  std::fprintf(stderr, terminal_ ? "\r%s\033[K\n" : "%s\n", line.c_str());
  open_ = false;
}

std::string progress_line(std::uint64_t events, double seconds, double share) {
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  const double rate = seconds > 0 ? static_cast<double>(events) / seconds : 0;
  std::string line = fmt::format("[{}{}] {:3.0f} %  {} events  {}/s", std::string(full, '#'),
                                 std::string(kBarWidth - full, '.'), share * 100, grouped(events),
                                 grouped(static_cast<std::uint64_t>(rate)));
  if (share >= 1) return line + fmt::format("  in {:.1f} s", seconds);
  if (share > 0) line += fmt::format("  {:.0f} s left", seconds * (1 - share) / share);
  return line;
}

}  // namespace millrace
