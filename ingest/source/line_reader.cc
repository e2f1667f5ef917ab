#include "ingest/source/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ingest/source/source.h"
#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr std::size_t kFirstBuffer = 1 << 20;

bool is_blank(std::string_view line) {
  return std::all_of(line.begin(), line.end(),
                     [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
}

}  // namespace

LineReader::LineReader(std::string path, std::size_t longest)
    : path_(std::move(path)), longest_(longest), buffer_(kFirstBuffer) {
  file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) fail(std::strerror(errno));
  struct stat status {};
  if (::fstat(file_, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) {
    ::close(file_);
    fail("it is no regular file");
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

LineReader::~LineReader() { ::close(file_); }

void LineReader::fail(const std::string& what) const {
  throw SourceError("cannot read " + path_ + ": " + what);
}

void LineReader::resume(const Mark& mark) {
  const std::uint64_t size = size_;
  if (size < mark.position) {
    fail("it has " + std::to_string(size) + " bytes, but " + std::to_string(mark.position) +
         " of it were read before");
  }
  size_ = mark.position;
  for (std::string_view line; peek(line);) take();
  if (mark_.hash != mark.hash || mark_.lines != mark.lines) {
    fail("the part that was read before, its first " + std::to_string(mark.position) +
         " bytes, has changed");
  }
  size_ = size;
}

bool LineReader::peek(std::string_view& line) {
  while (!has_line_) {
    if (!find_line()) return false;
    if (is_blank(line_)) consume_line();
  }
  line = line_;
  return true;
}

void LineReader::take() {
  MILLRACE_CHECK(has_line_);
  consume_line();
}

// Sets line_ and length_ to the line at begin_. False at the end.
bool LineReader::find_line() {
  for (;;) {
    const char* const from = buffer_.data() + begin_;
    const std::size_t unread = std::min(end_ - begin_, longest_);
    const void* const newline = std::memchr(from + searched_, '\n', unread - searched_);
    if (newline != nullptr) {
      length_ = static_cast<std::size_t>(static_cast<const char*>(newline) - from) + 1;
      line_ = {from, length_ - 1};
      break;
    }
    searched_ = unread;
    if (unread == longest_ || !fill()) {
      if (unread == 0) return false;
      length_ = unread;
      line_ = {from, length_};
      break;
    }
  }
  if (line_.ends_with('\r')) line_.remove_suffix(1);
  has_line_ = true;
  return true;
}

// Reads on. False where there is nothing more.
bool LineReader::fill() {
  if (loaded_ == size_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  const std::uint64_t room = std::min<std::uint64_t>(buffer_.size() - end_, size_ - loaded_);
  const ssize_t count = ::read(file_, buffer_.data() + end_, room);
  if (count < 0 && errno == EINTR) return true;
  if (count < 0) fail(std::strerror(errno));
  if (count == 0) fail("it became shorter while it was read");
  end_ += static_cast<std::size_t>(count);
  loaded_ += static_cast<std::uint64_t>(count);
  return true;
}

void LineReader::consume_line() {
  const auto pass = [&](std::size_t count) {
    begin_ += count;
    mark_.position += count;
  };
  const bool complete = buffer_[begin_ + length_ - 1] == '\n';
  mark_.hash = hash_bytes({buffer_.data() + begin_, length_}, mark_.hash);
  ++mark_.lines;
  pass(length_);
  searched_ = 0;
  has_line_ = false;
  line_ = {};
  if (complete || length_ < longest_) return;

  // The rest of a line that is too long is not kept; its length alone enters the hash.
  std::uint64_t rest = 0;
  for (bool more = true; more;) {
    const char* const from = buffer_.data() + begin_;
    const void* const newline = std::memchr(from, '\n', end_ - begin_);
    const std::size_t count =
        newline == nullptr ? end_ - begin_
                           : static_cast<std::size_t>(static_cast<const char*>(newline) - from) + 1;
    pass(count);
    rest += count;
    more = newline == nullptr && fill();
  }
  mark_.hash = mix_bits(mark_.hash ^ rest);
}

}  // namespace millrace
