#include "ingest/sink/file_dead_letters.h"

#include <cerrno>
#include <cstring>

#include "learner/base/json_text.h"

namespace millrace {
namespace {

// The length of the well-formed UTF-8 sequence at the front (Unicode 15, table 3-7); 0 if none is.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2   ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  const unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < least || byte(1) > most) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return text;
}

std::string json_text_of(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    clean += length > 0 ? text.substr(0, length) : "\xef\xbf\xbd";
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  std::string quoted;
  append_json_string(quoted, clean);
  return quoted;
}

FileDeadLetters::FileDeadLetters(const std::string& path)
    : path_(path), file_(path, std::ios::binary | std::ios::trunc) {
  if (!file_) throw SourceError(path_ + ": cannot be written: " + std::strerror(errno));
}

void FileDeadLetters::add(DeadLetter letter) {
  const bool of_file = !letter.input.path.empty();
  file_ << (of_file ? "{\"file\": " : "{\"topic\": ")
        << json_text_of(of_file ? letter.input.path : letter.input.topic)
        << ", \"partition\": " << letter.input.partition
        << (of_file ? ", \"line\": " : ", \"offset\": ") << letter.offset << ", \"reason\": \""
        << to_string(letter.rejection.reason)
        << "\", \"message\": " << json_text_of(letter.rejection.message) << ", \"record\": ";
  if (letter.payload) {
    file_ << '"' << base64(std::string_view(*letter.payload).substr(0, kMaxRecord)) << "\"}\n";
  } else {
    file_ << "null}\n";
  }
  if (!file_) throw SourceError(path_ + ": cannot be written");
}

bool FileDeadLetters::flush(Duration) {
  if (!file_.flush()) throw SourceError(path_ + ": cannot be written");
  return true;
}

}  // namespace millrace
