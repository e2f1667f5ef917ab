#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "ingest/sink/dead_letters.h"

namespace millrace {

/// Writes dead letters to a file, one JSON object a line (`--dead-letters`):
///   of a file:  {"file", "partition", "line", "reason", "message", "record"}, lines from 1
///   of Kafka:   {"topic", "partition", "offset", "reason", "message", "record"}
/// `record` is base64 of the first 64 KiB of the original bytes; null where Kafka had none.
/// Throws SourceError where the file cannot be written.
class FileDeadLetters final : public DeadLetterSink {
 public:
  static constexpr std::size_t kMaxRecord = 64 << 10;

  /// Creates the file, or empties it.
  explicit FileDeadLetters(const std::string& path);

  void add(DeadLetter letter) override;
  bool has_room() override { return true; }
  /// Everything added so far is in the file.
  bool flush(Duration) override;

 private:
  std::string path_;
  std::ofstream file_;
};

/// Standard base64 with padding (RFC 4648, section 4).
std::string base64(std::string_view bytes);

/// `text` as JSON, with its quotes; what is no UTF-8 in it becomes U+FFFD.
std::string json_text_of(std::string_view text);

}  // namespace millrace
