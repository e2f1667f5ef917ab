#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Writes one logfmt line to stderr: time, level (debug, info, warning, error) and message.
/// The same message again within ten seconds is held back; the next one says how often it came.
/// `level` "notice" is an info that is never held back: a change that somebody asked for.
/// Threads: any.
void log_line(std::string_view level, const std::string& message);

/// `text` as a logfmt value: in quotes, with quotes, backslashes and control characters escaped.
std::string quote_for_log(std::string_view text);

/// Holds repeated messages back. Memory: at most 256 messages are remembered.
/// Threads: one at a time.
class RepeatFilter {
 public:
  /// Whether a message that comes at `seconds` (of any steady clock) is to be written, and how many
  /// of its like were held back before it.
  struct Verdict {
    bool write = false;
    unsigned held_back = 0;
  };
  Verdict judge(const std::string& message, double seconds);

 private:
  struct Seen {
    std::string message;
    double written_at = 0;
    unsigned held_back = 0;
  };
  static constexpr std::size_t kRemembered = 256;
  static constexpr double kQuietSeconds = 10;
  std::vector<Seen> seen_;
};

}  // namespace millrace
