#include "learner/train/trainers.h"

#include <algorithm>
#include <set>

#include "learner/base/check.h"
#include "learner/base/fields.h"

namespace millrace {
namespace {

// How many models learn beside each other; each then has its share of the threads.
int side_by_side(const std::vector<ModelPlan>& plans) {
  MILLRACE_CHECK(!plans.empty());
  return std::min(plans.front().options.train.threads, static_cast<int>(plans.size()));
}

LearnerOptions with_share_of_threads(LearnerOptions options, std::size_t models) {
  options.train.threads = threads_of_each(options.train.threads, models);
  return options;
}

}  // namespace

int threads_of_each(int threads, std::size_t models) {
  return std::max(1, threads / std::max(1, static_cast<int>(models)));
}

Trainers::Trainers(const std::vector<ModelPlan>& plans, const TransferAlarmOptions& alarm)
    : threads_(side_by_side(plans)) {
  std::set<std::string_view> names;
  members_.reserve(plans.size());
  for (const ModelPlan& plan : plans) {
    MILLRACE_CHECK(names.insert(plan.name).second);
    Member& member = members_.emplace_back();
    member.shape = std::make_shared<const ServedShape>(
        ServedShape{plan.name, plan.options.model, plan.projection});
    member.trainer = std::make_unique<Trainer>(plan.name, plan.projection.schema(),
                                               with_share_of_threads(plan.options, plans.size()));
    member.losses.resize(plan.projection.tasks().size());
    if (plan.twin_of < 0) continue;
    twins_.push_back({members_.size() - 1, plan.twin_of, TransferAlarm(alarm),
                      std::vector<std::uint64_t>(plans.size())});
    has_alarms_ = true;
  }
  while (champion_ < members_.size() && !has_all_tasks(champion_)) ++champion_;
  if (champion_ == members_.size()) champion_ = 0;
  MILLRACE_CHECK(twins_.empty() || has_all_tasks(champion_));
  for (std::size_t m = 0; !twins_.empty() && m < members_.size(); ++m) watch(m);
}

void Trainers::observe(Observer observer) {
  observer_ = std::move(observer);
  for (std::size_t m = 0; m < members_.size(); ++m) watch(m);
}

void Trainers::watch(std::size_t index) {
  Member& member = members_[index];
  const Projection& projection = member.shape->projection;
  member.trainer->observe(
      [this, index, &member, &projection](int task, const Measurement& row, std::uint64_t user) {
        const auto k = static_cast<std::size_t>(task);
        const bool binary = projection.schema().tasks()[k].kind == TaskKind::kBinary;
        const double error = row.prediction - row.label;
        TransferAlarm::Losses& losses = member.losses[k];
        ++losses.rows;
        losses.weight += row.weight;
        losses.loss += row.weight * (binary ? row.loss : error * error);
        if (observer_) observer_(index, projection.tasks()[k], row, user);
      });
}

void Trainers::train(const Batch& batch) {
  const std::size_t jobs = members_.size() + followers_.size();
  threads_.run(static_cast<int>(jobs), [&](int job) {
    const auto index = static_cast<std::size_t>(job);
    if (index >= members_.size()) return followers_[index - members_.size()](batch);
    Member& member = members_[index];
    std::fill(member.losses.begin(), member.losses.end(), TransferAlarm::Losses{});
    if (member.shape->projection.is_whole()) {
      member.trainer->train(batch);
    } else {
      member.shape->projection.apply(batch, member.cut);
      member.trainer->train(member.cut);
    }
  });
  compare_with_twins(batch);
  rows_before_ += static_cast<std::uint64_t>(batch.rows);
}

void Trainers::compare_with_twins(const Batch& batch) {
  const Member& model = members_[champion_];
  for (Twin& twin : twins_) {
    const std::uint64_t before = twin.alarm.alarms();
    twin.alarm.add(model.losses[static_cast<std::size_t>(twin.task)],
                   members_[twin.member].losses.front(), batch.due);
    twin.alarms[champion_] += twin.alarm.alarms() - before;
  }
}

TransferReport Trainers::report_of(const Twin& twin) const {
  TransferReport report = twin.alarm.report();
  report.twin = members_[twin.member].trainer->name();
  report.task = members_[twin.member].shape->projection.schema().tasks().front().name;
  for (std::size_t m = 0; m < members_.size(); ++m) {
    if (has_all_tasks(m)) report.by_model.emplace_back(name_of(m), twin.alarms[m]);
  }
  return report;
}

std::vector<std::string> Trainers::take_notices() {
  std::vector<std::string> notices;
  for (Twin& twin : twins_) {
    if (!twin.alarm.take_change()) continue;
    const TransferReport report = report_of(twin);
    const std::string what = "task " + report.task + " of the model " + champion().name();
    notices.push_back(
        report.alarm
            ? "negative transfer: " + what + " is worse than its twin alone, by a loss of " +
                  print_value(report.difference) + " ± " + print_value(report.margin) + " over " +
                  std::to_string(report.blocks) + " blocks"
            : "no negative transfer any more: " + what + " against its twin");
  }
  return notices;
}

std::size_t Trainers::find(std::string_view name) const {
  const auto at = std::find_if(members_.begin(), members_.end(), [&](const Member& member) {
    return member.trainer->name() == name;
  });
  return static_cast<std::size_t>(at - members_.begin());
}

Result<Ok> Trainers::may_be_champion(std::string_view name) const {
  const std::size_t index = find(name);
  if (index == members_.size()) {
    std::string names;
    for (const Member& member : members_) {
      names += (names.empty() ? "" : ", ") + member.trainer->name();
    }
    return Error{"there is no model " + std::string(name) + "; expected one of " + names};
  }
  if (!has_all_tasks(index)) {
    return Error{"the model " + std::string(name) +
                 " does not learn every task; what is served has them all"};
  }
  return Ok{};
}

Result<Ok> Trainers::set_champion(std::string_view name) {
  if (auto may = may_be_champion(name); !may) return may;
  const std::size_t index = find(name);
  if (index == champion_) return Ok{};
  if (const std::string_view held = members_[index].trainer->held(); !held.empty()) {
    return Error{"the weights of the model " + std::string(name) + " are held (" +
                 std::string(held) + ")"};
  }
  champion().unpublish();
  champion_ = index;
  champion().unpublish();
  for (Twin& twin : twins_) twin.alarm.restart();
  return Ok{};
}

TrainerReports Trainers::report(bool whole) const {
  TrainerReports reports;
  for (const Member& member : members_) reports.models.push_back(member.trainer->report(whole));
  reports.champion_index = champion_;
  for (const Twin& twin : twins_) reports.twins.push_back(report_of(twin));
  return reports;
}

Publication Trainers::publish(std::size_t index) {
  Publication publication = members_[index].trainer->publish();
  if (publication.complete) publication.shape = members_[index].shape;
  return publication;
}

bool Trainers::is_twin(std::size_t index) const {
  return std::any_of(twins_.begin(), twins_.end(),
                     [&](const Twin& twin) { return twin.member == index; });
}

StateChanges Trainers::save(std::uint64_t, std::span<const Cleaning>) {
  StateChanges changes;
  changes.values.push_back({"champion", champion().name(), false});
  if (!has_alarms_) return changes;
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(twins_.size()));
  for (const Twin& twin : twins_) {
    ByteWriter alarm;
    twin.alarm.save(alarm);
    writer.put_text(members_[twin.member].trainer->name());
    writer.put_text(alarm.bytes());
  }
  changes.values.push_back({"alarms", writer.take(), false});
  ByteWriter counts;
  for (const Twin& twin : twins_) {
    for (std::size_t m = 0; m < members_.size(); ++m) {
      if (twin.alarms[m] == 0) continue;
      counts.put_text(name_of(twin.member));
      counts.put_text(name_of(m));
      counts.put(twin.alarms[m]);
    }
  }
  changes.values.push_back({"alarm_counts", counts.take(), false});
  return changes;
}

// Of models and twins that are not there any more nothing is read.
void Trainers::restore_alarm_counts(std::string_view bytes) {
  has_alarm_counts_ = true;
  ByteReader reader(bytes);
  while (!reader.at_end()) {
    const std::string_view of = reader.get_text();
    const std::size_t model = find(reader.get_text());
    const auto count = reader.get<std::uint64_t>();
    for (Twin& twin : twins_) {
      if (name_of(twin.member) == of && model < members_.size()) twin.alarms[model] = count;
    }
  }
}

// A store from before they were counted by model: all were the champion's.
void Trainers::restored() {
  for (Twin& twin : twins_) {
    if (!has_alarm_counts_) twin.alarms[champion_] = twin.alarm.alarms();
  }
}

// Of twins that are not there any more nothing is read.
void Trainers::restore_alarms(std::string_view bytes) {
  has_alarms_ = true;
  ByteReader reader(bytes);
  for (auto left = reader.get<std::uint32_t>(); left > 0; --left) {
    const std::string_view name = reader.get_text();
    ByteReader alarm(reader.get_text());
    for (Twin& twin : twins_) {
      if (members_[twin.member].trainer->name() != name) continue;
      twin.alarm.restore(alarm);
      if (!alarm.at_end()) throw StateError("the saved alarm of " + std::string(name) + " is long");
    }
  }
  if (!reader.at_end()) throw StateError("the saved alarms have a wrong size");
}

void Trainers::restore_value(std::string_view name, std::string_view bytes) {
  if (name == "alarms") return restore_alarms(bytes);
  if (name == "alarm_counts") return restore_alarm_counts(bytes);
  if (name != "champion") {
    throw StateError("the saved state of the models has an unknown value " + std::string(name));
  }
  if (may_be_champion(bytes)) {
    champion_ = find(bytes);
  } else {
    lost_champion_ = bytes;
  }
}

void Trainers::restore_block(std::string_view set, std::uint64_t, std::string_view) {
  throw StateError("the saved state of the models has an unknown set " + std::string(set));
}

}  // namespace millrace
