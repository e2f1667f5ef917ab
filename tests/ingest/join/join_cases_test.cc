// The sentences of contract/join.md one by one: streams and rows written by hand (tests/data/join),
// through the product and through the brute-force join that the random histories rely on.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "ingest/join/joiner.h"
#include "tests/support/join_histories.h"
#include "tests/support/oracle_join.h"

namespace millrace {
namespace {

// One line, cut at spaces; `key=value` words are options.
struct Line {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;
  std::string text;
  bool has(const std::string& word) const {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
};

struct Case {
  std::string name;
  JoinCase join;
  bool shows_feedback = false;  // rows are listed with origins, targets and what is measured
  std::vector<Line> lines;      // events, moves and what is expected of them
};

Line read_line(const std::string& text) {
  Line line{.words = {}, .options = {}, .text = text};
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      line.words.push_back(word);
    } else {
      line.options[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  return line;
}

int index_of_type(const JoinCase& join, const std::string& name) {
  for (std::size_t i = 0; i < join.types.outcomes.size(); ++i) {
    if (join.types.outcomes[i].name == name) return static_cast<int>(i);
  }
  ADD_FAILURE() << "no outcome " << name;
  return -1;
}

void add_task(JoinCase& join, const Line& line) {
  Task task{.name = line.words.at(1)};
  LabelSource label;
  label.outcome = index_of_type(join, line.words.at(2));
  for (const auto& choice : Choices<Aggregate>::all) {
    if (!line.has(std::string(choice.name))) continue;
    task.kind = TaskKind::kRegression;
    label.aggregate = choice.value;
  }
  if (line.options.contains("given")) {
    const std::string& given = line.options.at("given");
    for (std::size_t k = 0; k < join.tasks.size(); ++k) {
      if (join.tasks[k].name == given) task.given = static_cast<int>(k);
    }
  }
  task.entire_space = line.has("entire");
  for (const auto& choice : Choices<FeedbackPolicy>::all) {
    if (line.has(std::string(choice.name))) task.policy = choice.value;
  }
  if (line.options.contains("short")) {
    task.short_wait = Duration{std::stoll(line.options.at("short"))};
  }
  if (line.options.contains("absent")) label.absent = std::stod(line.options.at("absent"));
  join.tasks.push_back(task);
  join.labels.push_back(label);
}

std::vector<Case> read_cases() {
  std::vector<Case> cases;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(SOURCE_DIR "/tests/data/join")) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& path : files) {
    std::ifstream file(path);
    for (std::string text; std::getline(file, text);) {
      if (text.empty() || text[0] == '#') continue;
      const Line line = read_line(text);
      const std::string& kind = line.words.at(0);
      if (kind == "case") {
        cases.push_back({.name = text.substr(5), .join = {}, .shows_feedback = false, .lines = {}});
        cases.back().join.options.allowed_lateness = Duration{0};
      } else if (kind == "lateness") {
        cases.back().join.options.allowed_lateness = Duration{std::stoll(line.words.at(1))};
      } else if (text == "show feedback") {
        cases.back().shows_feedback = true;
      } else if (kind == "late") {
        cases.back().join.options.late = LatePolicy::kAccept;
      } else if (kind == "outcome") {
        cases.back().join.types.outcomes.push_back(
            {line.words.at(1), line.words.at(1), Duration{std::stoll(line.words.at(2))}});
      } else if (kind == "task") {
        add_task(cases.back().join, line);
      } else {
        cases.back().lines.push_back(line);
      }
    }
  }
  return cases;
}

double number(const std::string& text) {
  return text == "-" ? std::numeric_limits<double>::quiet_NaN() : std::stod(text);
}

Event read_event(const JoinCase& join, const Line& line) {
  const EventTime time{std::stoll(line.words.at(0).substr(1))};
  const std::string& kind = line.words.at(1);
  const auto option = [&](const std::string& key) -> std::optional<std::string> {
    const auto found = line.options.find(key);
    return found == line.options.end() ? std::nullopt : std::optional{found->second};
  };
  if (kind == "impression") {
    return Impression{line.words.at(2), time, "", std::stod(option("rate").value_or("1"))};
  }
  if (kind == "sample") {
    Sample sample{.id = "-", .time = time, .features = "", .sampling_rate = 1, .labels = {}};
    for (const Task& task : join.tasks) {
      sample.labels.push_back(number(option(task.name).value_or("-")));
    }
    return sample;
  }
  Outcome outcome{.impression_id = line.words.at(2),
                  .type = index_of_type(join, kind),
                  .time = time,
                  .event_id = option("event"),
                  .value = {}};
  if (option("value")) outcome.value = number(*option("value"));
  return outcome;
}

std::string print(double value) {
  if (value != value) return "-";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// cvr=0:first,delayed=1,never=0,final=1: where the label came from, the heads' targets, and the
// final label that is only measured; of dfm after=10..40: by then a 1 had, and had not come.
std::string print_feedback(const JoinedRow& row, std::size_t k) {
  static const std::vector<std::string> kOrigins{"", ":first", ":later", ":again", ":twice"};
  std::string text;
  if (row.labels[k] == row.labels[k]) text += kOrigins[static_cast<std::size_t>(row.origin[k])];
  if (!row.until.empty() && row.until[k] == row.until[k]) {
    text += ",after=" + print(row.since[k]) + ".." + print(row.until[k]);
  }
  const auto flag = [&](int known, int yes, const char* name) {
    if ((row.targets[k] & known) == 0) return;
    text += std::string(",") + name + "=" + ((row.targets[k] & yes) != 0 ? "1" : "0");
  };
  flag(target::kDelayedKnown, target::kDelayed, "delayed");
  flag(target::kNeverKnown, target::kNever, "never");
  if (row.measured[k] == row.measured[k]) text += ",final=" + print(row.measured[k]);
  return text;
}

std::string print(const JoinCase& join, const JoinedRow& row, bool shows_feedback) {
  std::string w = std::to_string(row.watermark.ms);
  if (row.watermark == EventTime::before_all()) w = "none";
  if (row.watermark == EventTime::after_all()) w = "all";
  std::string text = "row " + row.impression_id + " due=" + std::to_string(row.due.ms) + " W=" + w;
  for (std::size_t k = 0; k < join.tasks.size(); ++k) {
    text += " " + join.tasks[k].name + "=" + print(row.labels[k]);
    if (shows_feedback) text += print_feedback(row, k);
  }
  if (shows_feedback && row.is_last) text += " last";
  return text;
}

std::uint64_t count(const Accounts& a, const std::string& name) {
  const std::map<std::string, std::uint64_t> counts{
      {"impressions.late", a.impressions.late},
      {"impressions.duplicate", a.impressions.duplicate},
      {"impressions.finished", a.impressions.finished},
      {"impressions.waiting", a.impressions.waiting},
      {"outcomes.late", a.outcomes.late},
      {"outcomes.duplicate", a.outcomes.duplicate},
      {"outcomes.out_of_window", a.outcomes.out_of_window},
      {"outcomes.unmatched", a.outcomes.unmatched},
      {"outcomes.unused", a.outcomes.unused},
      {"outcomes.applied", a.outcomes.applied},
      {"outcomes.waiting", a.outcomes.waiting},
      {"samples", a.samples},
      {"rows", a.rows}};
  return counts.at(name);
}

// The two joins behind one face.
struct Product {
  explicit Product(const JoinCase& join)
      : schema(join.schema()), joiner(schema, join.types, join.labels, join.options) {}
  void take(const Event& event) {
    joiner.add(Event{event}, rows);
    finish();
  }
  void clock(EventTime w) {
    joiner.move_by_clock(w);
    finish();
  }
  void flush() {
    joiner.flush();
    finish();
  }
  void finish() {
    while (joiner.advance(1, rows)) {
    }
  }
  const Accounts& accounts() const { return joiner.accounts(); }
  EventTime w() const { return joiner.watermark(); }
  EventTime f() const { return joiner.newest(); }

  const Schema schema;
  Joiner joiner;
  std::vector<JoinedRow> rows;
};

struct Oracle {
  explicit Oracle(const JoinCase& c) : join(c.tasks, c.types, c.labels, c.options) {}
  void take(const Event& event) {
    join.take(event);
    finish();
  }
  void clock(EventTime w) {
    join.clock(w);
    finish();
  }
  void flush() {
    join.flush();
    finish();
  }
  void finish() {
    rows.insert(rows.end(), join.rows.begin(), join.rows.end());
    join.rows.clear();
  }
  const Accounts& accounts() const { return join.accounts; }
  EventTime w() const { return join.W; }
  EventTime f() const { return join.F; }

  OracleJoin join;
  std::vector<JoinedRow> rows;
};

template <class Join>
void run(const Case& c) {
  SCOPED_TRACE(c.name);
  Join join(c.join);
  std::size_t seen = 0;  // rows that the case has listed
  const auto expect_all_listed = [&](const std::string& before) {
    for (; seen < join.rows.size(); ++seen) {
      ADD_FAILURE() << "not listed before: " << before << "\n"
                    << print(c.join, join.rows[seen], c.shows_feedback);
    }
  };
  for (const Line& line : c.lines) {
    const std::string& kind = line.words.at(0);
    if (kind == "row") {
      ASSERT_LT(seen, join.rows.size()) << "did not come: " << line.text;
      EXPECT_EQ(print(c.join, join.rows[seen++], c.shows_feedback), line.text);
    } else if (kind == "account") {
      EXPECT_EQ(count(join.accounts(), line.words.at(1)), std::stoull(line.words.at(2)))
          << line.text;
    } else if (kind == "time") {
      EXPECT_EQ(join.w().ms, std::stoll(line.options.at("W"))) << line.text;
      EXPECT_EQ(join.f().ms, std::stoll(line.options.at("F"))) << line.text;
    } else {
      expect_all_listed(line.text);
      if (kind == "flush") {
        join.flush();
      } else if (kind == "clock") {
        join.clock({std::stoll(line.words.at(1))});
      } else {
        join.take(read_event(c.join, line));
      }
    }
  }
  expect_all_listed("the end");
}

TEST(JoinCases, TheJoinDoesWhatThePageSays) {
  const std::vector<Case> cases = read_cases();
  EXPECT_GT(cases.size(), 40u);
  for (const Case& c : cases) run<Product>(c);
}

TEST(JoinCases, SoDoesTheBruteForceJoin) {
  for (const Case& c : read_cases()) run<Oracle>(c);
}

}  // namespace
}  // namespace millrace
