#include "ops/demo/screen.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace millrace {
namespace {

std::string figure(const std::optional<double>& value, const char* pattern = "{:.3f}") {
  return value ? fmt::format(fmt::runtime(pattern), *value) : "-";
}

std::string head(const DemoView& view) {
  return fmt::format(
      "{:3.0f} s  {} events sent, {} taken, {} rows trained  version {}  newest event "
      "seen {} s ago",
      view.seconds, view.sent, view.taken, view.trained, view.version,
      figure(view.age_seconds, "{:.1f}"));
}

}  // namespace

std::string demo_curl(const std::string& address) {
  return "curl -s " + address +
         R"(/v1/score -d '{"context":{"user_id":"u1","country":"FR"},"candidates":[{"id":"m1","item_id":"m1","genres":["drama"],"price":9.5},{"id":"m2","item_id":"m2","genres":["war"],"price":3}]}')";
}

std::string demo_picture(const DemoView& view) {
  std::string text =
      "Millrace demo: simulated users -> Kafka -> join -> multi-task model -> scores\n" +
      head(view) + "\n\n";
  text += fmt::format("  {:<8}{:>8}{:>10}{:>16}{:>14}{:>10}{:>10}\n", "task", "AUC", "± error",
                      "best possible", "calibration", "weight", "rows");
  for (std::size_t t = 0; t < view.tasks.size(); ++t) {
    const TaskReport& task = view.tasks[t];
    text += fmt::format("  {:<8}{:>8}{:>9}{:>16}{:>14}{:>10.2f}{:>10}{}\n", task.name,
                        figure(task.window.auc), figure(task.window.auc_error, "{:.4f}"),
                        figure(view.best_auc[t]), figure(task.window.calibration, "{:.2f}"),
                        task.weight, task.all.rows,
                        task.window.rmse ? "  RMSE " + figure(task.window.rmse, "{:.1f}") : "");
  }
  text += "\n  Scores are at " + view.address + "; repeat this and see them move:\n  " +
          demo_curl(view.address) + "\n";
  return text;
}

std::string demo_line(const DemoView& view) {
  std::string line = head(view);
  for (std::size_t t = 0; t < view.tasks.size(); ++t) {
    const TaskReport& task = view.tasks[t];
    if (!task.binary) continue;
    line += fmt::format("  {} AUC {} of {}", task.name, figure(task.window.auc),
                        figure(view.best_auc[t]));
  }
  return line;
}

DemoScreen::DemoScreen() : terminal_(isatty(STDOUT_FILENO) == 1) {}

void DemoScreen::show(const DemoView& view) {
  const auto now = Clock::now();
  if (now - shown_ < (terminal_ ? std::chrono::milliseconds(400) : std::chrono::seconds(3))) return;
  const bool first = shown_ == Clock::time_point{};
  shown_ = now;
  if (!terminal_) {
    if (first)
      std::printf("scores are at %s; try\n%s\n", view.address.c_str(),
                  demo_curl(view.address).c_str());
    std::printf("%s\n", demo_line(view).c_str());
    std::fflush(stdout);
    return;
  }
  const std::string picture = demo_picture(view);
  if (lines_ > 0) std::printf("\033[%dA\033[J", lines_);
  std::fputs(picture.c_str(), stdout);
  std::fflush(stdout);
  lines_ = static_cast<int>(std::count(picture.begin(), picture.end(), '\n'));
}

void DemoScreen::summary(const DemoView& view) {
  if (lines_ > 0) std::printf("\033[%dA\033[J", lines_);
  std::printf("%s", demo_picture(view).c_str());
  std::fflush(stdout);
}

}  // namespace millrace
