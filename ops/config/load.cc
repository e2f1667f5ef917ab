#include "ops/config/load.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ops/config/checks.h"
#include "ops/config/document.h"
#include "ops/config/entries.h"
#include "ops/config/overlay.h"
#include "ops/config/reader.h"
#include "ops/config/sections.h"

namespace millrace {
namespace {

// A problem's text on one line that one can read, whatever was quoted in it.
std::string one_line(std::string text) {
  constexpr std::size_t kMost = 600, kKept = 250;
  const auto is_inside = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;  // of a longer character
  };
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  if (text.size() <= kMost) return text;
  std::size_t head = kKept, tail = text.size() - kKept;
  while (is_inside(head)) --head;
  while (is_inside(tail)) ++tail;
  return text.substr(0, head) + " … " + text.substr(tail);
}

// In the order of the file; what has no line (overrides) last.
std::vector<std::string> in_order(std::vector<Problem> problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    const bool a_override = a.place.line == 0, b_override = b.place.line == 0;
    return a_override != b_override ? b_override : a.place.line < b.place.line;
  });
  std::vector<std::string> lines;
  lines.reserve(problems.size());
  for (const Problem& problem : problems) {
    lines.push_back(problem.place.text() + ": " + one_line(problem.text));
  }
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  return lines;
}

Error as_error(std::vector<Problem> problems) {
  std::string message;
  for (const std::string& line : in_order(std::move(problems))) message += line + "\n";
  return Error{message};
}

// A formula may be a plain number, which other texts may not.
void read_score(ConfigReader& reader, const ConfigNode& node, std::string& score) {
  if (auto complaint = read_text(node, score)) reader.complain("score", *complaint);
}

void read_top(ConfigReader& reader, const ConfigNode& root, Config& config) {
  const std::vector<std::string> known(kTopKeys.begin(), kTopKeys.end());
  for (std::size_t i = 0; i < root.keys.size(); ++i) {
    const std::string& key = root.keys[i];
    const ConfigNode& node = root.items[i];
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      reader.complain_unknown(node.place, "", key, known);
      continue;
    }
    reader.remember(key, node.place);
    if (key == "name") {
      if (auto complaint = read_value(node, config.name)) reader.complain(key, *complaint);
    } else if (key == "score") {
      read_score(reader, node, config.score);
    } else {
      visit_section(config, key, [&](auto& options, std::string_view) {
        reader.read_fields(node, key + ".", options, options.fields());
      });
    }
  }
}

}  // namespace

Result<LoadedConfig> load_config_text(const std::string& text, const std::string& name,
                                      const std::vector<ConfigOverride>& overrides) {
  std::vector<Problem> problems, doubts;
  auto root = parse_document(text, name, problems);
  if (!root) return as_error(problems);
  if (root->kind != ConfigNode::Kind::kMap) {
    problems.push_back({{name, std::max(1, root->place.line)},
                        root->describe() + " is not a configuration; expected a mapping with "
                                           "events, features and tasks"});
    return as_error(problems);
  }
  apply_overrides(*root, overrides, problems);

  ConfigReader reader(problems);
  reader.remember("", {name, 1});
  LoadedConfig loaded;
  Config& config = loaded.config;
  read_top(reader, *root, config);
  read_events(reader, root->find("events"), config);
  read_features(reader, root->find("features"), config);
  read_tasks(reader, root->find("tasks"), config, doubts);
  check_config(reader, config, doubts);
  if (!problems.empty()) return as_error(problems);
  loaded.warnings = in_order(doubts);
  return loaded;
}

Result<LoadedConfig> load_config(const std::string& path,
                                 const std::vector<ConfigOverride>& overrides) {
  std::error_code unknown;
  const bool is_folder = std::filesystem::is_directory(path, unknown);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (is_folder || !file) {
    return Error{path +
                 ":1: cannot be read: " + (is_folder ? "it is a folder" : std::strerror(errno)) +
                 "; expected a configuration file\n"};
  }
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  return load_config_text(text.str(), path, overrides);
}

}  // namespace millrace
