#include "learner/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "learner/base/check.h"
#include "learner/train/trainer_parts.h"

namespace millrace {

Trainer::Trainer(std::string name, const Schema& schema, const LearnerOptions& options)
    : parts_(std::make_unique<Parts>(std::move(name), schema, options)) {}

Trainer::~Trainer() = default;

void Trainer::start_from(std::span<const float> dense, std::span<const TableUpdate> tables,
                         EventTime seen) {
  Parts& p = *parts_;
  MILLRACE_CHECK(p.steps == 0 && tables.size() <= p.inputs.tables().size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    p.inputs.put_rows(static_cast<int>(t), tables[t].keys, tables[t].rows, seen);
  }
  if (dense.empty()) return;
  MILLRACE_CHECK(static_cast<long>(dense.size()) == p.model.parameter_count());
  std::copy(dense.begin(), dense.end(), p.weights.get());
  p.outputs.start_as_given();
}

void Trainer::train(const Batch& batch) {
  Parts& p = *parts_;
  MILLRACE_CHECK(0 <= batch.rows && batch.rows <= p.options.train.batch);
  const FlushDenormals flush;
  const auto begin = std::chrono::steady_clock::now();
  const Parts::Done done = batch.rows > 0 ? p.step(batch) : Parts::Done::kMeasured;
  const bool learned = done == Parts::Done::kLearned;
  if (learned || batch.rows == 0) p.seen = std::max(p.seen, batch.seen);
  p.steps += learned ? 1 : 0;
  p.rows += learned ? static_cast<std::uint64_t>(learned_rows(batch)) : 0;
  p.skipped += done == Parts::Done::kSkipped ? 1 : 0;
  if (batch.rows == 0) {
    p.labels.begin(p.updater.steps());
    p.guardrail.refresh(p.labels.joined());
  }
  // After the step: a label may be decided in the row that is its impression's first.
  p.metrics.add(batch.measured, batch.due, p.scores);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  p.probe.rows = p.rows;
  p.probe.steps = p.steps;
  p.probe.steps_skipped_not_finite = p.skipped;
  p.probe.step_seconds_total = p.probe.step_seconds_total + seconds.count();
}

std::string_view Trainer::held() {
  Parts& p = *parts_;
  const FlushDenormals flush;
  if (!p.is_bounded() || p.guardrail.holds_versions()) return "unbounded";
  return p.lost() ? "loss" : "";
}

bool Trainer::holds_versions() const { return parts_->guardrail.holds_versions(); }

std::optional<int> Trainer::find_task(std::string_view name) const {
  const int task = parts_->schema.find_task(name);
  return task < 0 ? std::nullopt : std::optional(task);
}

void Trainer::freeze(std::optional<int> task, std::string reason) {
  parts_->guardrail.freeze(task, std::move(reason));
}

bool Trainer::resume(std::optional<int> task) { return parts_->guardrail.resume(task); }

std::vector<std::string> Trainer::take_notices() {
  std::vector<std::string> notices = parts_->guardrail.take_notices();
  for (std::string& notice : parts_->watch.take_notices()) notices.push_back(std::move(notice));
  return notices;
}

Publication Trainer::publish() {
  Parts& p = *parts_;
  Publication publication;
  publication.complete = !std::exchange(p.published, true);
  publication.seen = p.seen;
  for (EmbeddingTable& table : p.inputs.tables()) {
    TableUpdate& update = publication.tables.emplace_back();
    table.publish(publication.complete, update.keys, update.rows, update.erased);
  }
  auto dense = std::make_shared<DenseWeights>();
  dense->parameters.assign(p.weights.get(), p.weights.get() + p.model.parameter_count());
  dense->numeric = standardisations(p.inputs);
  dense->labels = p.outputs.ranges();
  dense->recalibration = p.metrics.recalibration();
  publication.dense = std::move(dense);
  return publication;
}

void Trainer::observe(Observer observer) { parts_->metrics.observe(std::move(observer)); }

void Trainer::unpublish() {
  parts_->published = false;
  parts_->last_sums.clear();
}

const std::string& Trainer::name() const { return parts_->name; }
const TrainerProbe& Trainer::probe() const { return parts_->probe; }

TrainerReport Trainer::report(bool whole) const {
  const Parts& p = *parts_;
  p.metrics.refresh(whole);
  TrainerReport report;
  report.model = p.name;
  report.steps = p.steps;
  report.rows = p.rows;
  report.skipped = p.skipped;
  report.scores = {.waiting = p.scores.size(),
                   .bytes = p.scores.bytes(),
                   .bytes_each = p.scores.any() ? FirstScores::bytes_each(p.schema) : 0,
                   .missed = p.scores.missed()};
  report.heads = p.heads.report(p.schema);
  report.guardrails = p.guardrail.report();
  report.relations = p.balancing.report();
  std::vector<double> weights;
  p.labels.weigh(p.balancing.weights(), weights);
  for (int k = 0; k < p.model.tasks(); ++k) {
    const auto at = static_cast<std::size_t>(k);
    TaskReport& task = report.tasks.emplace_back();
    p.metrics.report(k, task);
    task.weight = weights[at];
    task.loss = p.last_loss[at];
    task.label_share = p.shares.share(Stream::kMatured, k);
  }
  report.gates = p.watch.gates();
  report.importance = p.watch.importance();
  report.composite = p.metrics.composites();
  report.business = p.metrics.business();
  report.tables = table_reports(p.inputs);
  return report;
}

std::string Trainer::participant_name() const { return "model/" + parts_->name; }

StateChanges Trainer::save(std::uint64_t sequence, std::span<const Cleaning> cleanings) {
  Parts& p = *parts_;
  StateChanges changes;
  const auto value = [&](std::string name, bool in_digest, auto&& write) {
    ByteWriter writer;
    write(writer);
    changes.values.push_back({std::move(name), writer.take(), in_digest});
  };
  value("dense", true, [&](ByteWriter& writer) {
    writer.put_all(std::span<const float>(p.weights.get(),
                                          static_cast<std::size_t>(p.model.parameter_count())));
    p.updater.save(writer);
  });
  value("shares", true, [&](ByteWriter& writer) { p.shares.save(writer); });
  if (p.labels.any()) value("labels", true, [&](ByteWriter& writer) { p.labels.save(writer); });
  value("outputs", true, [&](ByteWriter& writer) { p.outputs.save(writer); });
  value("counters", false, [&](ByteWriter& writer) {
    writer.put(p.steps);
    writer.put(p.rows);
    writer.put(p.skipped);
    writer.put(p.seen.ms);
  });
  p.balancing.save(changes);
  p.guardrail.save(changes);
  p.metrics.save(changes);
  p.watch.save(changes);
  p.heads.save(changes);
  p.scores.save(sequence, cleanings, changes);
  p.inputs.save(sequence, cleanings, changes);
  // Whoever publishes next takes everything: a list of what changed would only grow until then.
  for (EmbeddingTable& table : p.inputs.tables()) {
    if (!p.published) table.skip_publication();
  }
  return changes;
}

void Trainer::restore_value(std::string_view name, std::string_view bytes) {
  Parts& p = *parts_;
  if (p.inputs.restore_value(name, bytes) || p.metrics.restore(name, bytes)) return;
  if (p.guardrail.restore(name, bytes) || p.balancing.restore(name, bytes)) return;
  if (p.watch.restore(name, bytes)) return;
  if (p.heads.restore(name, bytes) || p.scores.restore_value(name, bytes)) return;
  ByteReader reader(bytes);
  if (name == "dense") {
    const std::vector<float> weights = reader.get_all<float>();
    if (static_cast<long>(weights.size()) != p.model.parameter_count()) {
      throw StateError("the saved model has another number of weights");
    }
    std::copy(weights.begin(), weights.end(), p.weights.get());
    p.updater.restore(reader);
    p.dense_restored = true;
  } else if (name == "shares") {
    p.shares.restore(reader);
  } else if (name == "labels") {
    p.labels.restore(reader);
  } else if (name == "outputs") {
    p.outputs.restore(reader);
  } else if (name == "counters") {
    p.steps = reader.get<std::uint64_t>();
    p.rows = reader.get<std::uint64_t>();
    p.skipped = reader.get<std::uint64_t>();
    p.seen = {reader.get<std::int64_t>()};
  } else {
    throw StateError("saved state of model " + p.name + " has an unknown value " +
                     std::string(name));
  }
  if (!reader.at_end()) {
    throw StateError("saved state of model " + p.name + ": value " + std::string(name) +
                     " has a wrong size");
  }
}

void Trainer::restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) {
  if (!parts_->inputs.restore_block(set, sequence, bytes) &&
      !parts_->scores.restore_block(set, sequence, bytes)) {
    throw StateError("saved state of model " + parts_->name + " has an unknown set " +
                     std::string(set));
  }
}

void Trainer::restored() {
  Parts& p = *parts_;
  if (!p.dense_restored) throw StateError("saved state of model " + p.name + " has no weights");
  p.published = false;
  p.last_sums.clear();
  p.probe.rows = p.rows;
  p.probe.steps = p.steps;
  p.probe.steps_skipped_not_finite = p.skipped;
}

}  // namespace millrace
