#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/train/report.h"

namespace millrace {

/// What the demo shows at one moment.
struct DemoView {
  double seconds = 0;  ///< Since the start.
  std::uint64_t sent = 0, taken = 0, trained = 0;
  std::optional<double> age_seconds;  ///< Of the newest event that the scores have seen.
  std::string version, address;
  std::vector<TaskReport> tasks;
  std::vector<std::optional<double>> best_auc;  ///< Parallel to `tasks`.
};

/// A request to try, for the demo's shop.
std::string demo_curl(const std::string& address);

/// The whole picture, several lines.
std::string demo_picture(const DemoView& view);
/// The same in one line.
std::string demo_line(const DemoView& view);

/// Draws the picture on standard output: in place on a terminal, elsewhere a line every few
/// seconds.
class DemoScreen {
 public:
  DemoScreen();
  void show(const DemoView& view);
  /// The last picture, which stays.
  void summary(const DemoView& view);

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_;
  Clock::time_point shown_{};
  int lines_ = 0;  // of the picture on the terminal
};

}  // namespace millrace
