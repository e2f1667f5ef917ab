#include "learner/train/guardrail.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "learner/math/activation.h"

namespace millrace {
namespace {

constexpr double kGrowth = 1.02;  // of the usual norm, in one step
// Of a series of skipped batches the 1st, 2nd, 4th … are told of; this many others end the series.
constexpr std::uint64_t kGoodBatches = 1024;

constexpr std::string_view kState = "guardrails", kNotes = "guardrail_notes";

void write(const Freeze& freeze, ByteWriter& writer) {
  writer.put(freeze.reason);
  writer.put(freeze.since.ms);
  writer.put_text(freeze.text);
}

void read(Freeze& freeze, ByteReader& reader) {
  freeze.reason = reader.get<FreezeReason>();
  if (static_cast<int>(freeze.reason) >= kFreezeReasons) {
    throw StateError("a freeze is for a reason that this version does not know");
  }
  freeze.since.ms = reader.get<std::int64_t>();
  freeze.text = reader.get_text();
}

// The counts and the quarantine; returns the last batch's due time.
EventTime read_notes(ByteReader& reader, SavedGuardrails& saved) {
  constexpr std::uint32_t kMost = 1'000'000;  // of tasks and batches; more is damage
  const auto count = [&] {
    const auto value = reader.get<std::uint32_t>();
    if (value > kMost) throw StateError("saved state of the guardrails has a wrong size");
    return value;
  };
  GuardrailReport& report = saved.report;
  for (auto left = count(); left > 0; --left) saved.tasks.emplace_back(reader.get_text());
  report.tasks.resize(saved.tasks.size());
  report.passed_over.resize(saved.tasks.size());
  report.skipped_in_a_row = reader.get<std::uint64_t>();
  const EventTime now{reader.get<std::int64_t>()};
  for (std::uint64_t& freezes : report.freezes) freezes = reader.get<std::uint64_t>();
  for (Freeze* all : {&report.learning, &report.pause}) all->rows = reader.get<std::uint64_t>();
  for (std::size_t k = 0; k < saved.tasks.size(); ++k) {
    report.tasks[k].rows = reader.get<std::uint64_t>();
    report.passed_over[k] = reader.get<std::uint64_t>();
  }
  for (auto left = count(); left > 0; --left) {
    SkippedBatch& skipped = report.quarantine.emplace_back();
    skipped.first.ms = reader.get<std::int64_t>();
    skipped.last.ms = reader.get<std::int64_t>();
    skipped.rows = reader.get<std::uint64_t>();
    skipped.task = reader.get_text();
    skipped.reason = reader.get_text();
  }
  return now;
}

// By weights that went wrong, or by labels that did.
bool was_spoiled(const Freeze& freeze) {
  return freeze.reason == FreezeReason::kSpike || freeze.reason == FreezeReason::kCalibration;
}

}  // namespace

SavedGuardrails read_guardrails(std::string_view state, std::string_view notes) {
  SavedGuardrails saved;
  ByteReader counts(notes), reader(state);
  read_notes(counts, saved);
  const GuardrailOptions options;
  TaskWatch watch(options, true);
  for (Freeze* all : {&saved.report.learning, &saved.report.pause}) read(*all, reader);
  for (Freeze& task : saved.report.tasks) {
    read(task, reader);
    watch.restore(reader);
  }
  if (reader.get<std::uint8_t>() != 0) saved.report.held = "unbounded";
  return saved;
}

Guardrail::Guardrail(const Schema& schema, const GuardrailOptions& options)
    : schema_(schema),
      options_(options),
      tasks_(schema.tasks().size()),
      passed_over_(schema.tasks().size()),
      learns_(schema.tasks().size(), 1),
      joined_(learns_) {
  for (const Task& task : schema.tasks()) {
    watches_.emplace_back(options_, task.kind == TaskKind::kBinary);
  }
}

std::string Guardrail::name_of(int task) const {
  return "task " + schema_.tasks()[static_cast<std::size_t>(task)].name;
}

const std::vector<std::uint8_t>& Guardrail::begin(const Batch& batch,
                                                  std::span<const std::uint8_t> joined) {
  now_ = batch.due;
  pause(batch.paused);
  return refresh(joined);
}

const std::vector<std::uint8_t>& Guardrail::refresh(std::span<const std::uint8_t> joined) {
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    joined_[k] = joined.empty() || joined[k] != 0 ? 1 : 0;
    learns_[k] = learning_.on() || pause_.on() || tasks_[k].on() ? 0 : joined_[k];
  }
  return learns_;
}

void Guardrail::pause(bool paused) {
  if (paused && !pause_.on()) {
    freeze(pause_, "learning", FreezeReason::kDeadLetters,
           "the share of dead letters is too high; rows are passed over until it is low again");
  } else if (!paused) {
    resume(pause_, "learning", "fewer records are dead letters");
  }
}

void Guardrail::freeze(Freeze& what, const std::string& name, FreezeReason reason,
                       std::string text) {
  notices_.push_back(name + " is frozen (" + std::string(to_string(reason)) + "): " + text);
  if (what.on() && what.reason == reason) {
    what.text = std::move(text);
    return;
  }
  ++freezes_[static_cast<std::size_t>(reason)];
  what = {reason, now_, std::move(text), what.rows};
}

bool Guardrail::resume(Freeze& what, const std::string& name, std::string_view why) {
  if (!what.on()) return false;
  notices_.push_back(name + " goes on (" + std::string(why) + "); it was frozen (" +
                     std::string(to_string(what.reason)) + ") for " + std::to_string(what.rows) +
                     " rows");
  what = {};
  return true;
}

void Guardrail::skipped(const Batch& batch, int task) {
  SkippedBatch skipped{
      batch.first_due, batch.due, static_cast<std::uint64_t>(batch.rows), {}, "gradient"};
  if (task >= 0) {
    skipped.task = schema_.tasks()[static_cast<std::size_t>(task)].name;
    skipped.reason = "loss";
  }
  good_since_skip_ = 0;
  if (std::has_single_bit(++skips_)) {
    notices_.push_back("a batch of " + std::to_string(batch.rows) + " rows, due " +
                       print_rfc3339(skipped.first) + " to " + print_rfc3339(skipped.last) +
                       ", is skipped: its " + skipped.reason +
                       (task >= 0 ? " of " + name_of(task) : std::string()) + " is not finite" +
                       (skips_ > 1 ? "; " + std::to_string(skips_) + " were of late" : ""));
  }
  quarantine_.push_back(std::move(skipped));
  while (quarantine_.size() > static_cast<std::size_t>(options_.not_finite.quarantine)) {
    quarantine_.pop_front();
  }
  ++skipped_in_a_row_;
  if (skipped_in_a_row_ < static_cast<std::uint64_t>(options_.not_finite.limit) || learning_.on()) {
    return;
  }
  freeze(learning_, "learning", FreezeReason::kNotFinite,
         std::to_string(skipped_in_a_row_) + " batches in a row were not finite");
}

void Guardrail::add(const Batch& batch, View<const float> z, const TaskLosses& losses) {
  skipped_in_a_row_ = 0;
  if (++good_since_skip_ == kGoodBatches) skips_ = 0;
  const std::size_t T = tasks_.size();
  for (std::size_t k = 0; k < T; ++k) {
    const int task = static_cast<int>(k);
    const bool binary = schema_.tasks()[k].kind == TaskKind::kBinary;
    const bool product = losses.is_product(task);
    // First: a row of the batch may end the freeze, which then says how long it was.
    if (learns_[k] == 0) {
      const auto rows = static_cast<std::uint64_t>(losses.counts()[k]);
      passed_over_[k] += rows;
      tasks_[k].rows += tasks_[k].on() ? rows : 0;
    }
    for (int i = 0; i < batch.rows && joined_[k] != 0; ++i) {
      const float label = batch.labels[static_cast<std::size_t>(i) * T + k];
      if (std::isnan(label) || !losses.is_learned(i)) continue;
      // The product is not what learns from a flush's rows, and far from their labels.
      if (losses.leaves_out_conditions(i, task)) continue;
      const double logit = product ? losses.product_logit(i, task) : double{z(i, task)};
      if (const auto expected = losses.expected(i, task)) {
        // Later looks have other losses than first ones, and more of them as a stream begins.
        const bool first = batch.origin[static_cast<std::size_t>(i) * T + k] == Origin::kFirst;
        watch_row(task, label, *expected,
                  first ? std::optional(losses.loss(i, task)) : std::nullopt);
        continue;
      }
      watch_row(task, label, binary ? math::sigmoid(logit) : logit, losses.loss(i, task));
    }
  }
  for (Freeze* all : {&learning_, &pause_}) {
    if (all->on()) all->rows += static_cast<std::uint64_t>(learned_rows(batch));
  }
}

void Guardrail::watch_row(int task, double label, double prediction, std::optional<double> loss) {
  const auto k = static_cast<std::size_t>(task);
  Freeze& freeze_of = tasks_[k];
  // While nothing of it is learned, its figures say nothing about learning.
  if (freeze_of.reason == FreezeReason::kSilent) {
    if (!watches_[k].heard(label) || !options_.silent.resume) return;
    resume(freeze_of, name_of(task), "positive labels came back");
    watches_[k].reset();
  } else if (!freeze_of.on() && !learning_.on() && !pause_.on()) {
    if (auto finding = watches_[k].add(label, prediction, loss)) {
      freeze(freeze_of, name_of(task), finding->reason, std::move(finding->text));
      if (finding->reason != FreezeReason::kSilent) hold(1, name_of(task) + " was frozen");
    }
  } else if (was_spoiled(freeze_of)) {
    if (loss) watches_[k].pass_over(*loss);
  }
}

void Guardrail::hold(std::uint8_t cause, const std::string& why) {
  if (hold_.on == 0) notices_.push_back("no version leaves: " + why);
  hold_.on = std::max(hold_.on, cause);
  hold_.good_rows = 0;
}

bool Guardrail::all_usual() const {
  for (int task = 0; task < static_cast<int>(tasks_.size()); ++task) {
    const auto k = static_cast<std::size_t>(task);
    if (!tasks_[k].on() && !watches_[k].is_usual()) return false;
    if (was_spoiled(tasks_[k]) && (hold_.on > 1 || is_far_off(task))) return false;
  }
  return true;
}

// A task that was frozen for its loss may go on being wrong about labels that are wrong; but not by
// more than a version may be.
bool Guardrail::is_far_off(int task) const {
  const auto k = static_cast<std::size_t>(task);
  const std::optional<double> now = watches_[k].frozen_loss();
  if (!now) return true;  // it has nothing to show for itself
  const std::optional<double> usual = watches_[k].usual_loss();
  const double coin = schema_.tasks()[k].kind == TaskKind::kBinary ? kCoinLoss : 0;
  return *now > options_.publish.max_loss * std::max(usual.value_or(0), coin);
}

void Guardrail::stepped(const Batch& batch, double norm, double change, double largest) {
  // Weights that explode do not make the next leap look small.
  usual_norm_ = usual_norm_ == 0 ? norm : std::min(norm, kGrowth * usual_norm_);
  const PublishGateOptions& bounds = options_.publish;
  if (!(change <= bounds.max_change * usual_norm_ && largest <= bounds.max_weight)) {
    hold(2, "a step changed the dense weights by " + std::to_string(change / usual_norm_) +
                " times their usual norm, and the largest weight is " + std::to_string(largest));
  }
  if (hold_.on == 0) return;
  hold_.rows += learned_rows(batch);
  hold_.good_rows += learned_rows(batch);
  if (hold_.good_rows * 4 >= bounds.hold && all_usual()) {
    notices_.push_back("versions may leave again, after " +
                       std::to_string(static_cast<long>(hold_.rows)) + " rows");
    hold_ = {};
  } else if (hold_.rows >= bounds.hold && !learning_.on()) {
    freeze(learning_, "learning", FreezeReason::kUnbounded,
           "versions were held for " + std::to_string(static_cast<long>(hold_.rows)) + " rows");
  }
}

void Guardrail::freeze(std::optional<int> task, std::string text) {
  Freeze& what = task ? tasks_[static_cast<std::size_t>(*task)] : learning_;
  freeze(what, task ? name_of(*task) : "learning", FreezeReason::kAdministrator, std::move(text));
}

bool Guardrail::resume(std::optional<int> task) {
  constexpr std::string_view kWhy = "an administrator says so";
  bool any = false;
  if (!task) {
    any = resume(learning_, "learning", kWhy);
    skipped_in_a_row_ = 0;
    any |= hold_.on != 0;
    hold_ = {};
  }
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (task && *task != k) continue;
    if (!resume(tasks_[static_cast<std::size_t>(k)], name_of(k), kWhy)) continue;
    any = true;
    watches_[static_cast<std::size_t>(k)].reset();
  }
  return any;
}

std::optional<double> Guardrail::usual_loss(int task) const {
  return watches_[static_cast<std::size_t>(task)].usual_loss();
}

GuardrailReport Guardrail::report() const {
  GuardrailReport report{learning_,         pause_, tasks_, passed_over_, freezes_,
                         skipped_in_a_row_, {},     {}};
  report.quarantine.assign(quarantine_.begin(), quarantine_.end());
  if (holds_versions()) report.held = "unbounded";
  return report;
}

void Guardrail::save(StateChanges& changes) const {
  ByteWriter state, notes;
  for (const Freeze* all : {&learning_, &pause_}) write(*all, state);
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    write(tasks_[k], state);
    watches_[k].save(state);
  }
  state.put(hold_.on);
  state.put(hold_.rows);
  state.put(hold_.good_rows);
  state.put(usual_norm_);
  changes.values.push_back({std::string(kState), state.take()});

  notes.put(static_cast<std::uint32_t>(tasks_.size()));
  for (const Task& task : schema_.tasks()) notes.put_text(task.name);
  notes.put(skipped_in_a_row_);
  notes.put(now_.ms);
  for (const std::uint64_t count : freezes_) notes.put(count);
  for (const Freeze* all : {&learning_, &pause_}) notes.put(all->rows);
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    notes.put(tasks_[k].rows);
    notes.put(passed_over_[k]);
  }
  notes.put(static_cast<std::uint32_t>(quarantine_.size()));
  for (const SkippedBatch& skipped : quarantine_) {
    notes.put(skipped.first.ms);
    notes.put(skipped.last.ms);
    notes.put(skipped.rows);
    notes.put_text(skipped.task);
    notes.put_text(skipped.reason);
  }
  changes.values.push_back({std::string(kNotes), notes.take(), false});
}

std::string migrate_guardrails(std::string_view bytes, std::size_t old_tasks,
                               const std::vector<int>& old_of) {
  const GuardrailOptions options;
  ByteReader reader(bytes);
  ByteWriter writer;
  Freeze all;
  for (int i = 0; i < 2; ++i) {
    read(all, reader);
    write(all, writer);
  }
  std::vector<Freeze> freezes(old_tasks);
  std::vector<TaskWatch> watches(old_tasks, TaskWatch(options, true));
  for (std::size_t k = 0; k < old_tasks; ++k) {
    read(freezes[k], reader);
    watches[k].restore(reader);
  }
  for (const int old : old_of) {
    write(old < 0 ? Freeze{} : freezes[static_cast<std::size_t>(old)], writer);
    (old < 0 ? TaskWatch(options, true) : watches[static_cast<std::size_t>(old)]).save(writer);
  }
  writer.put(reader.get<std::uint8_t>());
  for (int i = 0; i < 3; ++i) writer.put(reader.get<double>());
  if (!reader.at_end()) throw StateError("saved state of the guardrails has a wrong size");
  return writer.take();
}

bool Guardrail::restore(std::string_view name, std::string_view bytes) {
  ByteReader reader(bytes);
  if (name == kState) {
    for (Freeze* all : {&learning_, &pause_}) read(*all, reader);
    for (std::size_t k = 0; k < tasks_.size(); ++k) {
      read(tasks_[k], reader);
      watches_[k].restore(reader);
    }
    hold_.on = reader.get<std::uint8_t>();
    hold_.rows = reader.get<double>();
    hold_.good_rows = reader.get<double>();
    usual_norm_ = reader.get<double>();
  } else if (name == kNotes) {
    SavedGuardrails saved;
    now_ = read_notes(reader, saved);
    if (saved.tasks.size() != tasks_.size()) throw StateError("the guardrails have other tasks");
    skipped_in_a_row_ = saved.report.skipped_in_a_row;
    freezes_ = saved.report.freezes;
    passed_over_ = saved.report.passed_over;
    learning_.rows = saved.report.learning.rows;
    pause_.rows = saved.report.pause.rows;
    for (std::size_t k = 0; k < tasks_.size(); ++k) tasks_[k].rows = saved.report.tasks[k].rows;
    quarantine_.assign(saved.report.quarantine.begin(), saved.report.quarantine.end());
  } else {
    return false;
  }
  if (!reader.at_end()) throw StateError("saved state of the guardrails has a wrong size");
  return true;
}

}  // namespace millrace
