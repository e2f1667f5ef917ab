#include "store/tar.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "store/error.h"
#include "store/files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 512;
constexpr std::size_t kChunk = 1 << 20;
constexpr std::uint64_t kLargest = 8ULL << 30;

// Where the fields of a header stand.
constexpr std::size_t kName = 0, kNameBytes = 100, kSize = 124, kSizeBytes = 12, kSum = 148,
                      kSumBytes = 8, kType = 156, kMagic = 257;

[[noreturn]] void fail(const std::string& doing, const fs::path& path, int error) {
  throw StoreError("cannot " + doing + ' ' + path.string() + ": " +
                   std::generic_category().message(error));
}

[[noreturn]] void no_tar(const fs::path& path, const std::string& why) {
  throw StoreError(path.string() + " is no tar file of a snapshot: " + why);
}

std::uint64_t padding(std::uint64_t bytes) { return (kBlock - bytes % kBlock) % kBlock; }

unsigned sum_of(std::string_view header) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) {
    const bool in_sum = i >= kSum && i < kSum + kSumBytes;
    sum += in_sum ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

// An octal number that ends with a zero byte or a blank.
std::optional<std::uint64_t> octal(std::string_view field) {
  while (field.starts_with(' ')) field.remove_prefix(1);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), number, 8);
  const bool ends = end == field.data() + field.size() || *end == '\0' || *end == ' ';
  if (error != std::errc{} || !ends) return std::nullopt;
  return number;
}

}  // namespace

TarWriter::TarWriter(const fs::path& path)
    : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
  if (file_ < 0) fail("create", path, errno);
}

TarWriter::~TarWriter() { ::close(file_); }

void TarWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0) fail("write", path_, errno);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void TarWriter::pad(std::uint64_t bytes) { write(std::string(padding(bytes), '\0')); }

void TarWriter::begin(const std::string& name, std::uint64_t bytes) {
  if (name.size() >= kNameBytes || bytes >= kLargest) {
    throw StoreError("a tar file cannot hold " + name + " of " + std::to_string(bytes) + " bytes");
  }
  std::array<char, kBlock> header{};
  std::memcpy(header.data() + kName, name.data(), name.size());
  std::memcpy(header.data() + 100, "0000644\0000000000\0000000000", 24);  // mode, owner, group
  std::snprintf(header.data() + kSize, kSizeBytes, "%011llo",
                static_cast<unsigned long long>(bytes));
  std::memcpy(header.data() + 136, "00000000000", 12);  // no time: the same bytes each time
  header[kType] = '0';
  std::memcpy(header.data() + kMagic, "ustar\00000", 8);
  std::snprintf(header.data() + kSum, kSumBytes, "%06o", sum_of({header.data(), kBlock}));
  header[kSum + 7] = ' ';
  write({header.data(), kBlock});
}

void TarWriter::add_text(const std::string& name, std::string_view text) {
  begin(name, text.size());
  write(text);
  pad(text.size());
}

void TarWriter::add(const std::string& name, const fs::path& file) {
  const int from = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (from < 0) fail("open", file, errno);
  try {
    std::uint64_t left = fs::file_size(file);
    const std::uint64_t bytes = left;
    begin(name, bytes);
    std::string chunk(kChunk, '\0');
    while (left > 0) {
      const ssize_t got = ::read(from, chunk.data(), std::min<std::uint64_t>(left, kChunk));
      if (got <= 0) fail("read", file, got < 0 ? errno : EIO);
      write(std::string_view(chunk).substr(0, static_cast<std::size_t>(got)));
      left -= static_cast<std::uint64_t>(got);
    }
    pad(bytes);
  } catch (...) {
    ::close(from);
    throw;
  }
  ::close(from);
}

void TarWriter::finish() {
  write(std::string(2 * kBlock, '\0'));
  if (::fsync(file_) != 0) fail("sync", path_, errno);
}

TarReader::TarReader(const fs::path& path)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), buffer_(kChunk, '\0') {
  if (file_ < 0) fail("open", path, errno);
}

TarReader::~TarReader() { ::close(file_); }

std::string_view TarReader::read(std::size_t bytes) {
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::read(file_, buffer_.data() + have, bytes - have);
    if (got < 0) fail("read", path_, errno);
    if (got == 0) no_tar(path_, "it is cut off");
    have += static_cast<std::size_t>(got);
  }
  return {buffer_.data(), bytes};
}

std::optional<std::string> TarReader::next() {
  for (;;) {
    for (; left_ > 0; left_ -= std::min<std::uint64_t>(left_, kChunk)) {
      read(std::min<std::uint64_t>(left_, kChunk));
    }
    const std::string_view header = read(kBlock);
    if (header.find_first_not_of('\0') == std::string_view::npos) return std::nullopt;
    const auto sum = octal(header.substr(kSum, kSumBytes));
    const auto size = octal(header.substr(kSize, kSizeBytes));
    if (!sum || *sum != sum_of(header) || !size || *size >= kLargest) {
      no_tar(path_, "a header is not whole");
    }
    std::string_view name = header.substr(kName, kNameBytes);
    name = name.substr(0, name.find('\0'));
    if (name.starts_with("./")) name.remove_prefix(2);
    const char type = header[kType];
    size_ = *size;
    left_ = size_ + padding(size_);
    if (type == '0' || type == '\0') return std::string(name);
    if (type != '5') no_tar(path_, "it holds something that is neither a file nor a folder");
  }
}

void TarReader::extract(const fs::path& to) {
  const int file = ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) fail("create", to, errno);
  try {
    std::uint64_t wanted = size_;
    while (left_ > 0) {
      const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(left_, kChunk));
      std::string_view chunk = read(bytes);
      left_ -= bytes;
      chunk = chunk.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(wanted, bytes)));
      wanted -= chunk.size();
      while (!chunk.empty()) {
        const ssize_t written = ::write(file, chunk.data(), chunk.size());
        if (written < 0) fail("write", to, errno);
        chunk.remove_prefix(static_cast<std::size_t>(written));
      }
    }
    if (::fsync(file) != 0) fail("sync", to, errno);
  } catch (...) {
    ::close(file);
    throw;
  }
  ::close(file);
}

}  // namespace millrace
