#include "ops/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <mutex>

namespace millrace {
namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = spdlog::stderr_logger_mt("millrace");
    made->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l %v");
    made->set_level(spdlog::level::debug);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(std::string_view level) {
  if (level == "debug") return spdlog::level::debug;
  if (level == "warning") return spdlog::level::warn;
  if (level == "error") return spdlog::level::err;
  return spdlog::level::info;
}

}  // namespace

void log_line(std::string_view level, const std::string& message) {
  static std::mutex mutex;
  static RepeatFilter filter;
  const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
  RepeatFilter::Verdict verdict{true, 0};
  if (level != "notice") {
    const std::lock_guard lock(mutex);
    verdict = filter.judge(message, now.count());
  }
  if (!verdict.write) return;
  std::string line = "msg=" + quote_for_log(message);
  if (verdict.held_back > 0) line += " held_back=" + std::to_string(verdict.held_back);
  logger().log(level_of(level), "{}", line);
}

std::string quote_for_log(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      std::array<char, 8> code{};
      std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(c) & 0xffU);
      quoted += code.data();
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

RepeatFilter::Verdict RepeatFilter::judge(const std::string& message, double seconds) {
  const auto same = std::find_if(seen_.begin(), seen_.end(),
                                 [&](const Seen& seen) { return seen.message == message; });
  if (same == seen_.end()) {
    if (seen_.size() == kRemembered) seen_.erase(seen_.begin());  // the one remembered longest
    seen_.push_back({message, seconds, 0});
    return {true, 0};
  }
  if (seconds - same->written_at < kQuietSeconds) {
    ++same->held_back;
    return {false, 0};
  }
  const unsigned held_back = same->held_back;
  *same = {message, seconds, 0};
  return {true, held_back};
}

}  // namespace millrace
