#include "ops/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <utility>
#include <vector>

namespace millrace {
namespace {

constexpr int kMostNodes = 100'000;
constexpr int kMostLevels = 64;

// The length of the valid UTF-8 sequence at `at`; 0 where there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(at + 1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool beyond = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

// The first byte that may not stand in a configuration. The YAML library would take a control
// character for the end of the file.
std::optional<Problem> find_bad_byte(std::string_view text, const std::string& source) {
  int line = 1;
  for (std::size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text, at);
    const bool control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
    if (length == 0 || control) {
      char name[8];
      std::snprintf(name, sizeof name, "0x%02x", static_cast<unsigned>(c));
      return Problem{{source, line},
                     "the byte " + std::string(name) +
                         (control ? " is a control character" : " is not UTF-8") +
                         "; expected YAML in UTF-8"};
    }
    if (c == '\n') ++line;
    at += length;
  }
  return std::nullopt;
}

// Copies the library's tree into ours.
class Converter {
 public:
  Converter(const std::string& source, bool is_file, std::vector<Problem>& problems)
      : source_(source), is_file_(is_file), problems_(problems) {}

  ConfigNode convert(const YAML::Node& from, Place place, int level) {
    ConfigNode to;
    to.place = std::move(place);
    if (level > kMostLevels || ++nodes_ > kMostNodes) {
      if (!too_large_) problems_.push_back({to.place, "nested too deeply, or unfolds to too much"});
      too_large_ = true;
      return to;
    }
    if (from.IsScalar()) {
      to.kind = ConfigNode::Kind::kScalar;
      to.text = from.Scalar();
      to.quoted = from.Tag() != "?" && !from.Tag().empty();
      if (to.quoted && from.Tag() != "!" && from.Tag() != "tag:yaml.org,2002:str") {
        problems_.push_back({to.place, "the tag " + from.Tag() + " has no meaning here"});
      }
    } else if (from.IsSequence()) {
      to.kind = ConfigNode::Kind::kList;
      for (const auto& item : from) {
        if (too_large_) break;
        to.items.push_back(convert(item, place_of(item, to.place), level + 1));
      }
    } else if (from.IsMap()) {
      to.kind = ConfigNode::Kind::kMap;
      convert_map(from, to, level);
    }
    return to;
  }

  Place place_of(const YAML::Node& node, const Place& otherwise) const {
    if (!is_file_) return {source_, 0};
    const YAML::Mark mark = node.Mark();
    return mark.line < 0 ? otherwise : Place{source_, mark.line + 1};
  }

 private:
  void convert_map(const YAML::Node& from, ConfigNode& to, int level) {
    for (const auto& entry : from) {
      if (too_large_) break;
      const Place place = place_of(entry.first, to.place);
      if (!entry.first.IsScalar()) {
        problems_.push_back({place, "a key must be a word"});
        continue;
      }
      const std::string& key = entry.first.Scalar();
      const auto same = std::find(to.keys.begin(), to.keys.end(), key);
      if (same != to.keys.end()) {
        const auto& first = to.items[static_cast<std::size_t>(same - to.keys.begin())].place;
        problems_.push_back(
            {place,
             key + ": the key stands here a second time; the first time at " + first.text()});
        continue;
      }
      ConfigNode value = convert(entry.second, place, level + 1);
      to.keys.push_back(key);
      to.items.push_back(std::move(value));
    }
  }

  const std::string& source_;
  const bool is_file_;
  std::vector<Problem>& problems_;
  int nodes_ = 0;
  bool too_large_ = false;
};

// Where documents begin, and nothing else of what the parser says.
class DocumentStarts final : public YAML::EventHandler {
 public:
  std::vector<YAML::Mark> marks;

  void OnDocumentStart(const YAML::Mark& mark) override { marks.push_back(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// What is wrong with a second document. The library never ends to find empty documents before a
// `,` or `]` that stands where none may (its LoadAll eats all memory then).
std::optional<std::pair<int, std::string>> second_document(const std::string& text) {
  std::istringstream input(text);
  YAML::Parser parser(input);
  DocumentStarts starts;
  while (starts.marks.size() < 2 && parser.HandleNextDocument(starts)) {
  }
  if (starts.marks.size() < 2) return std::nullopt;
  const YAML::Mark second = starts.marks[1];
  if (second.pos > starts.marks[0].pos) {
    return std::pair{second.line, std::string("a second document; expected one")};
  }
  return std::pair{second.line, std::string("no YAML: nothing begins like this")};
}

std::optional<ConfigNode> parse(const std::string& text, const std::string& source, bool is_file,
                                std::vector<Problem>& problems) {
  const auto place = [&](int line) { return Place{source, is_file ? line : 0}; };
  if (auto bad = find_bad_byte(text, source)) {
    bad->place = place(bad->place.line);
    problems.push_back(*bad);
    return std::nullopt;
  }
  try {
    if (const auto second = second_document(text)) {
      problems.push_back({place(second->first + 1), second->second});
      return std::nullopt;
    }
    const YAML::Node document = YAML::Load(text);
    Converter converter(source, is_file, problems);
    return converter.convert(document, converter.place_of(document, place(1)), 0);
  } catch (const YAML::Exception& mistake) {
    problems.push_back({place(std::max(0, mistake.mark.line) + 1), "no YAML: " + mistake.msg});
    return std::nullopt;
  }
}

}  // namespace

std::string Place::text() const { return line > 0 ? source + ":" + std::to_string(line) : source; }

const ConfigNode* ConfigNode::find(std::string_view key) const {
  const auto at = std::find(keys.begin(), keys.end(), key);
  return at == keys.end() ? nullptr : &items[static_cast<std::size_t>(at - keys.begin())];
}

ConfigNode* ConfigNode::find(std::string_view key) {
  return const_cast<ConfigNode*>(std::as_const(*this).find(key));
}

std::string ConfigNode::describe() const {
  switch (kind) {
    case Kind::kNothing:
      return "nothing";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a mapping";
    case Kind::kScalar:
      break;
  }
  constexpr std::size_t kMost = 80;
  std::string shown = text.size() <= kMost ? text : text.substr(0, kMost) + "…";
  std::replace(shown.begin(), shown.end(), '\n', ' ');
  return quoted || shown.empty() ? '"' + shown + '"' : shown;
}

std::optional<ConfigNode> parse_document(const std::string& text, const std::string& source,
                                         std::vector<Problem>& problems) {
  return parse(text, source, true, problems);
}

std::optional<ConfigNode> parse_override(const std::string& text, const std::string& origin,
                                         std::vector<Problem>& problems) {
  return parse(text, origin, false, problems);
}

}  // namespace millrace
