#include "tests/integration/replay_history.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>
#include <tuple>
#include <utility>

#include "tests/support/oracle_join.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr std::int64_t kYear2100 = 4'102'444'800'000;
// Windows are so much longer than the generator's, and so many events share their ids, where most
// of what waits is to lie in the store.
constexpr int kLongWindows = 40, kEventsOfOneId = 20, kWidth = 64;

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// The generator of the library's tests draws more than a configuration can say.
JoinCase configurable(JoinCase c, int stretch) {
  for (OutcomeType& type : c.types.outcomes) {
    type.window = Duration{std::max<std::int64_t>(1, type.window.count() * stretch)};
    type.needs_value = false;
  }
  for (std::size_t k = 0; k < c.tasks.size(); ++k) {
    Task& task = c.tasks[k];
    LabelSource& label = c.labels[k];
    label.outcome = std::max(0, label.outcome);
    OutcomeType& type = c.types.outcomes[at(label.outcome)];
    type.needs_value |= task.kind != TaskKind::kBinary && label.aggregate != Aggregate::kCount;
    Duration window{0};
    for (int t = static_cast<int>(k); t >= 0; t = c.tasks[at(t)].given) {
      window = std::max(window, c.types.outcomes[at(c.labels[at(t)].outcome)].window);
    }
    if (task.short_wait >= window) task.short_wait = window / 2;
  }
  c.types.has_impressions = true;
  return c;
}

std::string policy_text(const Task& task) {
  std::string text(choice_name(task.policy));
  if (!has_short_wait(task.policy)) return text;
  return "{policy: " + text + ", short_wait: " + std::to_string(task.short_wait.count()) + "ms}";
}

std::string task_text(const JoinCase& c, std::size_t k) {
  const Task& task = c.tasks[k];
  const LabelSource& label = c.labels[k];
  std::ostringstream text;
  text << "  - {name: " << task.name << ", label: " << c.types.outcomes[at(label.outcome)].name
       << ", kind: " << (task.kind == TaskKind::kBinary ? "binary" : "regression");
  if (task.given >= 0) {
    text << ", given: " << c.tasks[at(task.given)].name
         << ", entire_space: " << (task.entire_space ? "true" : "false");
  }
  if (task.kind != TaskKind::kBinary) {
    text << ", aggregate: " << choice_name(label.aggregate);
    if (label.absent) text << ", absent: " << *label.absent;
  }
  text << "}\n";
  return text.str();
}

std::string config_text(const JoinCase& c, const std::string& prefix, bool one_topic, bool wide,
                        Dice& dice) {
  const auto topic = [&](const std::string& name) {
    return "{topic: " + prefix + (one_topic ? "all" : name);
  };
  std::ostringstream text;
  text << "name: history\nevents:\n  impression: " << topic("impression")
       << "}\n  sample: " << topic("sample") << "}\n";
  for (const OutcomeType& type : c.types.outcomes) {
    text << "  " << type.name << ": " << topic(type.name) << ", window: " << type.window.count()
         << "ms}\n";
  }
  text << "join: {allowed_lateness: " << c.options.allowed_lateness.count()
       << "ms, late: " << choice_name(c.options.late) << ", quiet_after: off"
       << ", memory: "
       << (wide               ? "16KiB"
           : dice.chance(0.5) ? "64KiB"
                              : "256MiB")
       << "}\n"
       << "features:\n  - {name: x, type: categorical, dimension: 1}\n";
  if (wide) text << "  - {name: d, type: dense, width: " << kWidth << "}\n";
  text << "tasks:\n";
  for (std::size_t k = 0; k < c.tasks.size(); ++k) text << task_text(c, k);
  text << "model: {experts: 1, expert_layers: [2], tower_layers: [2]}\n"
       << "train: {batch: " << dice.pick<int>({4, 32, 256})
       << ", batch_span: " << dice.pick<std::string>({"off", "10ms", "250ms"})
       << ", device: cpu, delayed_feedback: {";
  const char* separator = "";
  for (const Task& task : c.tasks) {
    if (task.policy == FeedbackPolicy::kWait) continue;
    text << std::exchange(separator, ", ") << task.name << ": " << policy_text(task);
  }
  text << "}}\nstore: {commit_every: 10ms, free_space: 0B}\n";
  return text.str();
}

json::object features_of(const std::string& x, bool wide) {
  json::object features{{"x", x}};
  if (wide) features["d"] = json::array(kWidth, 0.5);
  return features;
}

std::string json_of(const Event& event, const JoinCase& c, bool wide) {
  json::object out;
  if (const auto* i = std::get_if<Impression>(&event)) {
    out = {{"type", "impression"}, {"impression_id", i->id}};
    out["features"] = features_of(i->features, wide);
    if (i->sampling_rate != 1) out["sampling_rate"] = i->sampling_rate;
  } else if (const auto* o = std::get_if<Outcome>(&event)) {
    out = {{"type", c.types.outcomes[at(o->type)].name}, {"impression_id", o->impression_id}};
    if (o->event_id) out["event_id"] = *o->event_id;
    if (o->value) out["value"] = *o->value;
  } else {
    const auto& sample = std::get<Sample>(event);
    out = {{"type", "sample"}};
    if (!sample.id.empty()) out["impression_id"] = sample.id;
    out["features"] = features_of(sample.features, wide);
    if (sample.sampling_rate != 1) out["sampling_rate"] = sample.sampling_rate;
    json::object& labels = out["labels"].emplace_object();
    for (std::size_t k = 0; k < c.tasks.size(); ++k) {
      if (!std::isnan(sample.labels[k])) labels[c.tasks[k].name] = sample.labels[k];
    }
  }
  out["time"] = event_time(event).ms;
  return json::serialize(out);
}

HistoryRecord garbage(Dice& dice, const JoinCase& c) {
  const std::string time = R"(,"time":)" + std::to_string(1000 + dice.below(500));
  const std::string o0 = R"({"type":"o0","value":1)", id = R"(,"impression_id":"a")";
  std::vector<HistoryRecord> kinds{
      {o0 + time + ", broken", {}, Reason::kNotJson},
      {o0 + time + "}", {}, Reason::kMissingField},
      {R"({"type":"impression")" + id + "}", {}, Reason::kMissingField},
      {o0 + R"(,"impression_id":["a"])" + time + "}", {}, Reason::kWrongType},
      {o0 + id + R"(,"time":-5})", {}, Reason::kTimeOutOfRange},
      {o0 + id + R"(,"time":)" + std::to_string(kYear2100) + "}", {}, Reason::kTimeInFuture},
      {R"({"type":"nosuch")" + id + time + "}", {}, Reason::kUnknownType}};
  for (const OutcomeType& type : c.types.outcomes) {
    if (!type.needs_value) continue;
    kinds.push_back(
        {R"({"type":")" + type.name + "\"" + id + time + "}", {}, Reason::kMissingField});
  }
  return dice.pick(kinds);
}

// The topic of files is one; of Kafka that of the type.
std::string type_of(const Event& event, const JoinCase& c) {
  if (std::holds_alternative<Impression>(event)) return "impression";
  if (std::holds_alternative<Sample>(event)) return "sample";
  return c.types.outcomes[at(std::get<Outcome>(event).type)].name;
}

void rename(Event& event, int number) {
  const std::string more = "-" + std::to_string(number);
  if (auto* i = std::get_if<Impression>(&event)) i->id += more;
  if (auto* o = std::get_if<Outcome>(&event)) o->impression_id += more;
}

// The inputs, and the input of a topic and a partition.
class Inputs {
 public:
  Inputs(ReplayHistory& history, std::string prefix, bool one_topic, int partitions)
      : history_(history),
        prefix_(std::move(prefix)),
        one_topic_(one_topic),
        partitions_(partitions) {}

  void add(const std::string& type, HistoryRecord record, Dice& dice) {
    const std::string topic = prefix_.empty() ? "file" : prefix_ + (one_topic_ ? "all" : type);
    if (!first_.contains(topic)) {
      first_[topic] = history_.inputs.size();
      for (int p = 0; p < partitions_; ++p) history_.inputs.push_back({topic, p, {}});
    }
    const std::size_t partition = at(dice.below(partitions_));
    history_.inputs[first_[topic] + partition].records.push_back(std::move(record));
  }

 private:
  ReplayHistory& history_;
  const std::string prefix_;
  const bool one_topic_;
  const int partitions_;
  std::map<std::string, std::size_t> first_;
};

void cut_into_pieces(ReplayHistory& history, Dice& dice) {
  const int pieces = 1 + dice.below(3);
  for (int piece = 1; piece <= pieces; ++piece) {
    HistoryPiece one{{}, dice.chance(piece == pieces ? 0.5 : 0.1)};
    for (std::size_t i = 0; i < history.inputs.size(); ++i) {
      const std::size_t all = history.inputs[i].records.size();
      const std::size_t done = piece == 1 ? 0 : history.pieces.back().ends[i];
      const std::size_t more = at(dice.below(static_cast<int>(all - done) + 1));
      one.ends.push_back(piece == pieces ? all : done + more);
    }
    history.pieces.push_back(std::move(one));
  }
}

ReplayHistory history_of(std::uint64_t seed, const std::string& prefix) {
  Dice dice(7'000'000'000 + seed);
  ReplayHistory history;
  history.spills = dice.chance(0.5);
  const bool wide = history.spills;
  const bool one_topic = prefix.empty() || dice.chance(0.3);
  history.join_case = configurable(random_case(dice), wide ? kLongWindows : 1);
  const JoinCase& c = history.join_case;
  history.config = config_text(c, prefix, one_topic, wide, dice);
  const int length = wide ? 400 + dice.below(900) : 20 + dice.below(300);
  const std::vector<Step> steps = random_history(dice, c, length);
  Inputs inputs(history, prefix, one_topic, 1 + dice.below(4));
  const double poison = dice.chance(0.5) ? 0.05 : 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (dice.chance(poison)) inputs.add("o0", garbage(dice, c), dice);
    const auto* step = std::get_if<Event>(&steps[i]);
    if (step == nullptr) continue;  // the clock and a flush come by the pieces, or not at all
    Event event = *step;
    if (wide) rename(event, static_cast<int>(i) / kEventsOfOneId);
    std::string text = json_of(event, c, wide);
    const std::string type = type_of(event, c);
    inputs.add(type, {std::move(text), std::move(event)}, dice);
  }
  cut_into_pieces(history, dice);
  return history;
}

std::string number_text(double value) {
  std::ostringstream text;
  text.precision(17);
  text << value + 0.0;
  return text.str();
}

std::string row_text(const JoinedRow& row, const std::vector<Task>& tasks) {
  std::ostringstream text;
  text << (row.impression_id.empty() ? "null" : row.impression_id) << " time " << row.time.ms
       << " due " << row.due.ms << " watermark ";
  if (row.watermark.is_finite()) {
    text << row.watermark.ms;
  } else {
    text << "null";
  }
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    text << ' ' << tasks[k].name << ' '
         << (std::isnan(row.labels[k]) ? "null" : number_text(row.labels[k]));
  }
  return text.str();
}

// The rule of taking, as it is written: of all heads the smallest (time, topic, partition, offset);
// a record that is no event goes the moment it is a head.
class BruteForceReplay {
 public:
  explicit BruteForceReplay(const ReplayHistory& history)
      : history_(history),
        join_(history.join_case.tasks, history.join_case.types, history.join_case.labels,
              history.join_case.options),
        positions_(history.inputs.size()) {
    note();
  }

  ExpectedReplay run() {
    for (const HistoryPiece& piece : history_.pieces) {
      while (take_next(piece)) note();
      if (piece.flush) {
        join_.flush();
        note();
      }
      expected_.piece_ends.push_back(expected_.moments.size() - 1);
    }
    for (const JoinedRow& row : join_.rows) {
      expected_.rows.push_back(row_text(row, history_.join_case.tasks));
    }
    return std::move(expected_);
  }

 private:
  bool take_next(const HistoryPiece& piece) {
    using Key = std::tuple<EventTime, std::string, int>;
    std::optional<std::pair<Key, std::size_t>> first;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      if (positions_[i] == piece.ends[i]) continue;
      const HistoryInput& input = history_.inputs[i];
      const HistoryRecord& head = input.records[positions_[i]];
      if (!head.event) {
        ++positions_[i];
        ++dead_letters_[static_cast<std::size_t>(head.reason)];
        return true;
      }
      const Key key{event_time(*head.event), input.topic, input.partition};
      if (!first || key < first->first) first = {key, i};
    }
    if (!first) return false;
    join_.take(*history_.inputs[first->second].records[positions_[first->second]++].event);
    return true;
  }

  void note() {
    ExpectedReplay::Moment moment{join_.accounts, join_.rows.size()};
    moment.accounts.dead_letters = dead_letters_;
    for (const std::uint64_t count : dead_letters_) moment.accounts.events += count;
    expected_.moments.push_back(moment);
  }

  const ReplayHistory& history_;
  OracleJoin join_;
  std::vector<std::size_t> positions_;
  std::array<std::uint64_t, kReasons> dead_letters_{};
  ExpectedReplay expected_;
};

}  // namespace

ReplayHistory history_of_files(std::uint64_t seed) { return history_of(seed, ""); }

ReplayHistory history_of_topics(std::uint64_t seed, const std::string& prefix) {
  return history_of(seed, prefix);
}

ExpectedReplay expect(const ReplayHistory& history) { return BruteForceReplay(history).run(); }

std::string row_text(const std::string& line) {
  const json::object row = json::parse(line).as_object();
  const auto whole = [](const json::value& value) {
    return value.is_null() ? "null" : std::to_string(value.to_number<std::int64_t>());
  };
  const json::value& id = row.at("impression_id");
  std::string text = id.is_null() ? "null" : std::string(id.as_string());
  for (const char* key : {"time", "due", "watermark"}) {
    text += std::string(" ") + key + " " + whole(row.at(key));
  }
  // Boost.JSON reads some numbers to the neighbouring double.
  static const std::regex label(R"re("(t[0-9]+)": ([^,}]+))re");
  for (std::sregex_iterator it(line.begin(), line.end(), label), end; it != end; ++it) {
    const std::string value = (*it)[2];
    text += " " + std::string((*it)[1]) + " " +
            (value == "null" ? value : number_text(std::strtod(value.c_str(), nullptr)));
  }
  return text;
}

}  // namespace millrace
