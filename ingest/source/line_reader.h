#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Reads one file line by line, and knows what it has read by a hash.
///
/// Lines end at "\n" or at the end that the file has when it is opened, so a last line without
/// "\n" is a line; a "\r" before the end belongs to the end. Lines of nothing but white space are
/// passed over, but counted. Of a line of more than `longest` bytes only that much is kept.
/// Memory: 1 MiB, or twice the longest line that is kept. Errors: SourceError, which names the
/// file.
class LineReader {
 public:
  /// No record may be configured to be this long (KafkaOptions::max_record).
  static constexpr std::size_t kLongestLine = (64 << 20) + 1;

  /// How far a file was read: always the beginning of a line, or the end.
  struct Mark {
    std::uint64_t position = 0;  ///< In bytes.
    std::uint64_t lines = 0;     ///< Before the position.
    std::uint64_t hash = 0;      ///< Of everything before the position, cut into lines.
  };

  explicit LineReader(std::string path, std::size_t longest = kLongestLine);
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  /// Moves to `mark`, reading what is before it. SourceError where that has changed or is gone.
  void resume(const Mark& mark);

  /// The next line, without its end; the same until `take`. False at the end.
  bool peek(std::string_view& line);
  /// The number of the line that `peek` gave, from 1.
  std::uint64_t number() const { return mark_.lines + 1; }
  /// Requires: `peek` gave a line.
  void take();

  const Mark& mark() const { return mark_; }
  std::uint64_t size() const { return size_; }

 private:
  bool find_line();
  bool fill();
  void consume_line();
  [[noreturn]] void fail(const std::string& what) const;

  const std::string path_;
  const std::size_t longest_;
  int file_ = -1;
  std::uint64_t size_ = 0;    // what is not to be read beyond
  std::uint64_t loaded_ = 0;  // of the file, into the buffer so far
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what the buffer holds unread
  std::size_t searched_ = 0;         // from begin_ on there is no line end so far
  bool has_line_ = false;
  std::size_t length_ = 0;  // of the line at begin_, with its end
  std::string_view line_;
  Mark mark_;
};

}  // namespace millrace
