#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// A tar file in the POSIX form (ustar) that `tar` reads too: plain files alone, names of at most
/// 100 bytes, of less than 8 GiB each. Every failure is thrown as StoreError. Threads: one.
class TarWriter {
 public:
  /// Requires: there is no such file yet.
  explicit TarWriter(const std::filesystem::path& path);
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;
  ~TarWriter();

  void add(const std::string& name, const std::filesystem::path& file);
  void add_text(const std::string& name, std::string_view text);
  /// Writes the end and syncs. Nothing may be added any more.
  void finish();

 private:
  void begin(const std::string& name, std::uint64_t bytes);
  void write(std::string_view bytes);
  void pad(std::uint64_t bytes);

  const std::filesystem::path path_;
  int file_ = -1;
};

/// Reads such a file from its beginning to its end.
class TarReader {
 public:
  explicit TarReader(const std::filesystem::path& path);
  TarReader(const TarReader&) = delete;
  TarReader& operator=(const TarReader&) = delete;
  ~TarReader();

  /// The next plain file's name (a `./` before it is left out; folders are passed over); nothing at
  /// the end. Throws StoreError where the bytes are no tar file, or it is cut off.
  std::optional<std::string> next();
  /// Writes and syncs the content of the file at hand, whose path must be new.
  void extract(const std::filesystem::path& to);

 private:
  std::string_view read(std::size_t bytes);

  const std::filesystem::path path_;
  int file_ = -1;
  std::uint64_t left_ = 0;  // of the file at hand, its padding included
  std::uint64_t size_ = 0;
  std::string buffer_;
};

}  // namespace millrace
