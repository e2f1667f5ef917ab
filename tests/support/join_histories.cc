#include "tests/support/join_histories.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Prefixes of each other, upper and lower case, and bytes above 127 (é, €).
const std::vector<std::string> kIds{"a",
                                    "b",
                                    "ab",
                                    "A",
                                    "aa",
                                    "\xc3\xa9",
                                    "z~",
                                    "\xe2\x82\xac",
                                    "a-long-identifier-that-is-on-the-heap"};

EventTime time_near(Dice& dice, std::int64_t now, const JoinCase& join_case) {
  const int lateness = static_cast<int>(join_case.options.allowed_lateness.count());
  const std::int64_t back =
      dice.chance(0.1) ? dice.below(3 * lateness + 60) : dice.below(lateness + 2);
  return {std::max<std::int64_t>(0, now - back)};
}

Outcome random_outcome(Dice& dice, const JoinCase& join_case, EventTime time) {
  static const std::vector<double> kValues{-2, -0.5, 0, 1, 3, 0.1, 0.2};
  Outcome outcome{.impression_id = dice.pick(kIds),
                  .type = dice.below(static_cast<int>(join_case.types.outcomes.size())),
                  .time = time,
                  .event_id = {},
                  .value = {}};
  if (dice.chance(0.4)) outcome.event_id = dice.chance(0.5) ? "e1" : "e2";
  const bool needs = join_case.types.outcomes[static_cast<std::size_t>(outcome.type)].needs_value;
  if (needs || dice.chance(0.5)) outcome.value = dice.pick(kValues);
  return outcome;
}

std::uint64_t random_user(Dice& dice) {
  return dice.chance(0.3) ? kNoUser : user_key("u" + std::to_string(dice.below(5)));
}

Sample random_sample(Dice& dice, const JoinCase& join_case, EventTime time) {
  Sample sample{.id = dice.chance(0.5) ? dice.pick(kIds) : "",
                .time = time,
                .features = "sample",
                .sampling_rate = dice.chance(0.5) ? 1 : 0.5,
                .labels = {},
                .user = random_user(dice)};
  for (std::size_t k = 0; k < join_case.tasks.size(); ++k) {
    sample.labels.push_back(dice.chance(0.3) ? kMissing : dice.below(2));
  }
  return sample;
}

Impression random_impression(Dice& dice, std::string id, EventTime time) {
  std::string features = std::to_string(dice.below(1000));
  return {.id = std::move(id),
          .time = time,
          .features = std::move(features),
          .sampling_rate = dice.chance(0.8) ? 1 : 0.25,
          .user = random_user(dice)};
}

}  // namespace

JoinCase random_case(Dice& dice) {
  JoinCase c;
  const std::vector<int> windows{0, 1, 5, 10, 10, 30, 80};
  const std::vector<int> lateness{0, 3, 20}, short_waits{0, 2, 5, 15, 40};
  const int types = 1 + dice.below(4);
  for (int i = 0; i < types; ++i) {
    c.types.outcomes.push_back({.name = "o" + std::to_string(i),
                                .topic = "o" + std::to_string(i),
                                .window = Duration{dice.pick(windows)}});
  }
  const int tasks = 1 + dice.below(6);
  std::vector<int> binary;
  for (int k = 0; k < tasks; ++k) {
    Task task{.name = "t" + std::to_string(k)};
    LabelSource label;
    label.outcome = dice.chance(0.05) ? -1 : dice.below(types);
    task.kind = dice.chance(0.65) ? TaskKind::kBinary : TaskKind::kRegression;
    if (!binary.empty() && dice.chance(0.6)) task.given = dice.pick(binary);
    if (task.kind == TaskKind::kBinary) {
      task.entire_space = task.given >= 0 && dice.chance(0.6);
      if (dice.chance(0.35)) {
        task.policy = static_cast<FeedbackPolicy>(1 + dice.below(6));
        task.short_wait = Duration{dice.pick(short_waits)};
      }
      binary.push_back(k);
    } else {
      label.aggregate = static_cast<Aggregate>(dice.below(4));
      if (dice.chance(0.4)) label.absent = dice.below(2);
      if (label.outcome >= 0 && label.aggregate != Aggregate::kCount) {
        c.types.outcomes[static_cast<std::size_t>(label.outcome)].needs_value = true;
      }
    }
    c.tasks.push_back(task);
    c.labels.push_back(label);
  }
  c.options.allowed_lateness = Duration{dice.pick(lateness)};
  c.options.late = dice.chance(0.3) ? LatePolicy::kAccept : LatePolicy::kDrop;
  return c;
}

std::vector<Step> random_history(Dice& dice, const JoinCase& join_case, int length) {
  std::vector<Step> history;
  std::vector<Event> events;
  std::int64_t now = 1000;
  for (int i = 0; i < length; ++i) {
    now += dice.chance(0.02) ? dice.below(200) : dice.below(6);
    const EventTime time = time_near(dice, now, join_case);
    if (dice.chance(0.02)) {
      history.emplace_back(ClockMove{{now - join_case.options.allowed_lateness.count()}});
    } else if (dice.chance(0.005)) {
      history.emplace_back(Flush{});
    } else if (!events.empty() && dice.chance(0.2)) {
      history.emplace_back(dice.pick(events));
    } else {
      Event event = random_outcome(dice, join_case, time);
      if (dice.chance(0.35)) event = random_impression(dice, dice.pick(kIds), time);
      if (dice.chance(0.05)) event = random_sample(dice, join_case, time);
      events.push_back(event);
      history.emplace_back(std::move(event));
    }
  }
  if (dice.chance(0.5)) history.emplace_back(Flush{});
  return history;
}

std::vector<Event> orderly_events(Dice& dice, const JoinCase& join_case, int impressions) {
  std::vector<Event> events;
  std::int64_t now = 1000;
  for (int i = 0; i < impressions; ++i) {
    now += dice.below(4);
    const Impression impression =
        random_impression(dice, dice.pick(kIds) + std::to_string(i), {now});
    events.emplace_back(impression);
    for (int left = dice.below(5); left > 0; --left) {
      Outcome outcome = random_outcome(dice, join_case, {});
      const auto& type = join_case.types.outcomes[static_cast<std::size_t>(outcome.type)];
      const int lateness = static_cast<int>(join_case.options.allowed_lateness.count());
      const int span = static_cast<int>(type.window.count()) + lateness + 1;
      outcome.time = {now - lateness + dice.below(span)};
      outcome.impression_id = impression.id;
      // One identity, one outcome: repetitions are exact copies.
      if (outcome.event_id) outcome.event_id = "e" + std::to_string(events.size());
      events.emplace_back(outcome);
    }
    while (dice.chance(0.15)) events.push_back(dice.pick(events));
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const Event& a, const Event& b) { return event_time(a) < event_time(b); });
  return events;
}

std::vector<Event> shuffled_within_lateness(Dice& dice, const JoinCase& join_case,
                                            std::vector<Event> events) {
  // An event that arrives at its time + delay finds a newest one of at most that, so
  // W ≤ time + delay − lateness ≤ time.
  const int lateness = static_cast<int>(join_case.options.allowed_lateness.count());
  std::vector<std::pair<std::pair<std::int64_t, std::uint32_t>, std::size_t>> arrivals;
  for (std::size_t i = 0; i < events.size(); ++i) {
    arrivals.push_back({{event_time(events[i]).ms + dice.below(lateness + 1), dice.next()}, i});
  }
  std::sort(arrivals.begin(), arrivals.end());
  std::vector<Event> shuffled;
  for (const auto& arrival : arrivals) shuffled.push_back(events[arrival.second]);
  return shuffled;
}

std::string to_text(const JoinedRow& row, bool with_watermark) {
  std::ostringstream text;
  text.precision(17);
  text << row.impression_id << " t=" << row.time.ms << " due=" << row.due.ms;
  if (with_watermark) text << " W=" << row.watermark.ms;
  text << (row.stream == Stream::kAtOnce ? " at once" : " matured") << " x=" << row.features
       << " weight=" << row.weight << " user=" << row.user << " labels";
  for (std::size_t k = 0; k < row.labels.size(); ++k) {
    text << ' ';
    if (std::isnan(row.labels[k])) {
      text << '-';  // whether its condition holds or it counts says nothing then
    } else {
      text << row.labels[k] + 0.0 << (row.condition[k] != 0 ? "" : "!")
           << (row.counts[k] != 0 ? "" : "?");
    }
  }
  for (std::size_t k = 0; k < row.origin.size(); ++k) {
    if (!std::isnan(row.labels[k])) text << " o" << static_cast<int>(row.origin[k]);
    if (!row.until.empty() && !std::isnan(row.until[k])) {
      text << " after" << k << '=' << row.since[k] << "..." << row.until[k];
    }
    if (row.targets[k] != 0) text << " target" << k << '=' << int{row.targets[k]};
    if (!std::isnan(row.measured[k])) {
      text << " measured" << k << '=' << row.measured[k] << (row.condition[k] != 0 ? "" : "!");
    }
  }
  if (row.is_last) text << " last";
  if (row.keeps_score) text << " score";
  return text.str();
}

std::vector<std::string> to_text(const std::vector<JoinedRow>& rows, bool with_watermark) {
  std::vector<std::string> text;
  for (const JoinedRow& row : rows) text.push_back(to_text(row, with_watermark));
  return text;
}

std::string to_text(const JoinCase& join_case) {
  std::ostringstream text;
  text << "lateness " << join_case.options.allowed_lateness.count()
       << (join_case.options.late == LatePolicy::kAccept ? " accept" : "") << '\n';
  for (const OutcomeType& type : join_case.types.outcomes) {
    text << type.name << " window " << type.window.count() << '\n';
  }
  for (std::size_t k = 0; k < join_case.tasks.size(); ++k) {
    const Task& task = join_case.tasks[k];
    text << task.name << " of o" << join_case.labels[k].outcome << " given t" << task.given
         << (task.kind == TaskKind::kBinary ? " binary" : " regression")
         << (task.entire_space ? " entire" : "") << ' ' << choice_name(task.policy) << ' '
         << task.short_wait.count() << " aggregate " << choice_name(join_case.labels[k].aggregate)
         << '\n';
  }
  return text.str();
}

std::string to_text(const std::vector<Step>& history) {
  std::ostringstream text;
  for (const Step& step : history) {
    if (const auto* clock = std::get_if<ClockMove>(&step)) {
      text << "clock " << clock->watermark.ms << '\n';
    } else if (std::holds_alternative<Flush>(step)) {
      text << "flush\n";
    } else {
      const Event& event = std::get<Event>(step);
      text << event_time(event).ms << ' ';
      if (const auto* i = std::get_if<Impression>(&event)) text << "impression " << i->id;
      if (std::holds_alternative<Sample>(event)) text << "sample";
      if (const auto* o = std::get_if<Outcome>(&event)) {
        text << "o" << o->type << " of " << o->impression_id << " event_id "
             << o->event_id.value_or("-");
        if (o->value) text << " value " << *o->value;
      }
      text << '\n';
    }
  }
  return text.str();
}

}  // namespace millrace
