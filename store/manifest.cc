#include "store/manifest.h"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <sstream>
#include <system_error>

#include "store/error.h"
#include "store/files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

bool is_plain(std::string_view name) {
  return !name.empty() && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

// The text of a manifest, token by token; it has no other form than ours, blanks aside.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : left_(text) {}

  bool take(std::string_view token) {
    skip();
    if (!left_.starts_with(token)) return false;
    left_.remove_prefix(token.size());
    return true;
  }
  /// `"name":`
  bool key(std::string_view name) {
    std::string_view found;
    return text(found) && found == name && take(":");
  }
  bool text(std::string_view& found) {
    if (!take("\"")) return false;
    const std::size_t end = left_.find_first_of("\"\\");
    if (end == std::string_view::npos || left_[end] != '"') return false;
    found = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return true;
  }
  bool number(std::uint64_t& found) {
    skip();
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), found);
    if (error != std::errc{}) return false;
    left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
    return true;
  }
  bool at_end() {
    skip();
    return left_.empty();
  }

 private:
  void skip() { left_.remove_prefix(std::min(left_.find_first_not_of(" \t\r\n"), left_.size())); }
  std::string_view left_;
};

bool read_file_line(Scanner& scanner, Manifest::File& file) {
  std::string_view name, hash;
  if (!scanner.take("{") || !scanner.key("name") || !scanner.text(name) || !scanner.take(",") ||
      !scanner.key("bytes") || !scanner.number(file.bytes) || !scanner.take(",") ||
      !scanner.key("hash") || !scanner.text(hash) || !scanner.take("}")) {
    return false;
  }
  const auto [end, error] = std::from_chars(hash.data(), hash.data() + hash.size(), file.hash, 16);
  file.name = name;
  return error == std::errc{} && end == hash.data() + hash.size() && is_plain(name);
}

bool read(Scanner& scanner, Manifest& manifest) {
  std::string_view taken;
  if (!scanner.take("{") || !scanner.key("commit") || !scanner.number(manifest.commit) ||
      !scanner.take(",") || !scanner.key("taken") || !scanner.text(taken) || !scanner.take(",") ||
      !scanner.key("files") || !scanner.take("[")) {
    return false;
  }
  const auto time = parse_rfc3339(taken);
  if (!time) return false;
  manifest.taken = *time;
  if (!scanner.take("]")) {
    do {
      if (!read_file_line(scanner, manifest.files.emplace_back())) return false;
    } while (scanner.take(","));
    if (!scanner.take("]")) return false;
  }
  return scanner.take("}") && scanner.at_end();
}

}  // namespace

Manifest make_manifest(std::uint64_t commit, EventTime taken, const fs::path& database) try {
  Manifest manifest{commit, taken, {}};
  for (const auto& entry : fs::directory_iterator(database)) {
    manifest.files.push_back(
        {entry.path().filename().string(), entry.file_size(), hash_file(entry.path())});
  }
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return manifest;
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot list a snapshot's files: ") + error.what());
}

std::string print_manifest(const Manifest& manifest) {
  std::ostringstream text;
  text << "{\"commit\": " << manifest.commit << ", \"taken\": \"" << print_rfc3339(manifest.taken)
       << "\", \"files\": [";
  const char* separator = "\n";
  for (const Manifest::File& file : manifest.files) {
    text << separator << "  {\"name\": \"" << file.name << "\", \"bytes\": " << std::dec
         << file.bytes << ", \"hash\": \"" << std::hex << std::setw(16) << std::setfill('0')
         << file.hash << "\"}";
    separator = ",\n";
  }
  text << "\n]}\n";
  return text.str();
}

Result<Manifest> parse_manifest(std::string_view text) {
  Manifest manifest;
  Scanner scanner(text);
  if (!read(scanner, manifest)) return Error{"its manifest.json is not what a snapshot has"};
  return manifest;
}

Result<Ok> verify_files(const Manifest& manifest, const fs::path& database) try {
  std::size_t there = 0;
  for (const auto& entry : fs::directory_iterator(database)) {
    const std::string name = entry.path().filename().string();
    const bool named = std::any_of(manifest.files.begin(), manifest.files.end(),
                                   [&](const auto& file) { return file.name == name; });
    if (!named) return Error{"its file " + name + " is not in the manifest"};
    ++there;
  }
  for (const Manifest::File& file : manifest.files) {
    const fs::path path = database / file.name;
    if (!fs::exists(path)) return Error{"its file " + file.name + " is missing"};
    if (fs::file_size(path) != file.bytes) {
      return Error{"its file " + file.name + " has " + std::to_string(fs::file_size(path)) +
                   " bytes instead of " + std::to_string(file.bytes)};
    }
    if (hash_file(path) != file.hash) {
      return Error{"its file " + file.name + " is not what was written (its hash differs)"};
    }
  }
  if (there != manifest.files.size()) return Error{"its manifest names a file twice"};
  return Ok{};
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot read a snapshot: ") + error.what());
}

}  // namespace millrace
