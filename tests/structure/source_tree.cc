#include "tests/structure/source_tree.h"

#include <algorithm>
#include <fstream>
#include <regex>

namespace millrace {

namespace fs = std::filesystem;

std::vector<std::string> source_files(const std::string& folder) {
  const fs::path root = SOURCE_DIR;
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const auto extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc" && extension != ".cu") continue;
    files.push_back(fs::relative(entry.path(), root).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(fs::path(SOURCE_DIR) / path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<Include> includes_of(const std::string& folder) {
  static const std::regex include(R"re(^\s*#\s*include\s*(["<])([^">]+)[">].*)re");
  std::vector<Include> found;
  for (const std::string& path : source_files(folder)) {
    for (const std::string& line : lines_of(path)) {
      std::smatch match;
      if (line.find("include") == std::string::npos) continue;
      if (!std::regex_match(line, match, include)) continue;
      found.push_back({path, match[2], match[1] == "\""});
    }
  }
  return found;
}

std::string part_of(const std::string& path) {
  const std::size_t first = path.find('/');
  const std::size_t second = path.find('/', first + 1);
  return path.substr(0, second == std::string::npos ? first : second);
}

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

}  // namespace millrace
