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
#include "ops/config/models.h"
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

void read_document(ConfigReader& reader, const ConfigNode& root, Config& config,
                   std::vector<Problem>& doubts) {
  reader.remember("", {root.place.source, 1});
  read_top(reader, root, config);
  read_events(reader, root.find("events"), config);
  read_features(reader, root.find("features"), config);
  read_tasks(reader, root.find("tasks"), config, doubts);
  check_config(reader, config, doubts);
}

bool is_among(const std::vector<Problem>& problems, const Problem& one) {
  return std::any_of(problems.begin(), problems.end(), [&](const Problem& other) {
    return other.text == one.text && other.place.text() == one.place.text();
  });
}

// Each model's document; what was said of the whole already is not said again.
void read_models_of(const ConfigNode& root, Config& config, std::vector<Problem>& problems,
                    std::vector<Problem>& doubts) {
  ConfigReader reader(problems);
  reader.remember("", {root.place.source, 1});
  for (std::size_t i = 0; i < root.keys.size(); ++i) {
    reader.remember(root.keys[i], root.items[i].place);
  }
  const std::vector<Problem> told = doubts;
  read_models(reader, root, config,
              [&](const ConfigNode& document, const std::string& prefix, Config& one) {
                std::vector<Problem> wrong, doubtful;
                ConfigReader of_one(wrong);
                read_document(of_one, document, one, doubtful);
                for (Problem& problem : wrong) {
                  problems.push_back({problem.place, prefix + problem.text});
                }
                for (Problem& doubt : doubtful) {
                  if (!is_among(told, doubt)) doubts.push_back({doubt.place, prefix + doubt.text});
                }
              });
}

}  // namespace

std::optional<ConfigNode> parse_config_tree(const std::string& text, const std::string& name,
                                            std::vector<Problem>& problems) {
  auto root = parse_document(text, name, problems);
  if (!root) return std::nullopt;
  if (root->kind != ConfigNode::Kind::kMap) {
    problems.push_back({{name, std::max(1, root->place.line)},
                        root->describe() + " is not a configuration; expected a mapping with "
                                           "events, features and tasks"});
    return std::nullopt;
  }
  root->place.source = name;
  return root;
}

Result<LoadedConfig> load_config_tree(ConfigNode root, std::vector<Problem> problems,
                                      const std::vector<ConfigOverride>& overrides) {
  apply_overrides(root, overrides, problems);
  std::vector<Problem> doubts;
  LoadedConfig loaded;
  {
    ConfigReader reader(problems);
    read_document(reader, root, loaded.config, doubts);
  }
  if (problems.empty()) read_models_of(root, loaded.config, problems, doubts);
  if (!problems.empty()) return as_error(problems);
  loaded.warnings = in_order(doubts);
  return loaded;
}

Result<LoadedConfig> load_config_text(const std::string& text, const std::string& name,
                                      const std::vector<ConfigOverride>& overrides) {
  std::vector<Problem> problems;
  auto root = parse_config_tree(text, name, problems);
  if (!root) return as_error(problems);
  return load_config_tree(std::move(*root), std::move(problems), overrides);
}

Result<std::string> read_config_file(const std::string& path) {
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
  return text.str();
}

Result<LoadedConfig> load_config(const std::string& path,
                                 const std::vector<ConfigOverride>& overrides) {
  auto text = read_config_file(path);
  if (!text) return text.error();
  return load_config_text(*text, path, overrides);
}

}  // namespace millrace
