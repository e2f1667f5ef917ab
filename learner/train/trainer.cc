#include "learner/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "learner/base/check.h"
#include "learner/device/devices.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/layers/input_layer.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/chunks.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/feedback_heads.h"
#include "learner/train/first_scores.h"
#include "learner/train/gate_means.h"
#include "learner/train/guardrail.h"
#include "learner/train/input_reports.h"
#include "learner/train/label_shares.h"
#include "learner/train/label_tools.h"
#include "learner/train/model_watch.h"
#include "learner/train/output_start.h"
#include "learner/train/prepared_weights.h"
#include "learner/train/task_balancing.h"
#include "learner/train/task_losses.h"
#include "learner/train/task_metrics.h"

namespace millrace {
namespace {

/// What a thread of a step needs for itself; from tile to tile, and from one chunk to the next, it
/// stays in the cache.
struct ThreadMemory {
  std::unique_ptr<Backend<float>> backend;
  std::unique_ptr<Model<float>::Workspace> work;
  Buffer<float> x;  ///< [tile, D]
};

View<float> view_of(const Buffer<float>& buffer, int rows, int cols) {
  return {buffer.get(), rows, cols};
}

}  // namespace

struct Trainer::Parts {
  Parts(std::string name_, const Schema& schema_, const LearnerOptions& options_);

  enum class Done { kLearned, kMeasured, kSkipped };
  Done step(const Batch& batch);
  void start_outputs(const Batch& batch);
  void run_chunk(const Chunks& chunks, int chunk, ThreadMemory& memory, const Batch& batch,
                 bool only_score = false);
  Pass pass_of(const Batch& batch, bool training) const;
  Done finish(const Batch& batch, const LabelShares& next_shares);
  void take_back();
  bool is_bounded();
  bool lost();

  const std::string name;
  const Schema schema;
  const LearnerOptions options;
  TrainerProbe probe;

  Threads threads;
  const Model<float> model;
  const int tile;  ///< Rows that go through the model together.
  InputLayer inputs;
  Buffer<float> weights;
  DenseUpdater<float> updater;
  /// What a step leaves as it is: what no step trains, `fixed` of them, then frozen tasks' own.
  std::vector<ParameterSlot> kept;
  const std::size_t fixed;
  GateMeans gates;
  FeedbackHeads heads;
  LabelShares shares;
  LabelTools labels;
  OutputStart outputs;
  TaskMetrics metrics;
  ModelWatch watch;
  FirstScores scores;
  Guardrail guardrail;
  std::uint64_t steps = 0, rows = 0, skipped = 0;
  EventTime seen = EventTime::before_all();
  bool published = false;  ///< Whether there was a publication since the start or a restore.
  bool dense_restored = false;

  // Of the step in progress, and of the last one.
  TaskLosses losses;
  TaskBalancing balancing;
  std::vector<double> omega, scale;  ///< By task: weight, and that / normaliser.
  std::vector<ThreadMemory> thread_memory;
  std::vector<Buffer<float>> chunk_gradients;
  Buffer<float> dx;     ///< [rows, D]
  Buffer<float> z, dz;  ///< [rows, T]
  PreparedWeights prepared;
  /// First biases of this batch, to be taken back if it is skipped: (place, before).
  std::vector<std::pair<long, float>> biases_before;
  std::vector<std::optional<double>> last_loss;
  /// Of the last batch that was learned, where versions are published: what they are tried on.
  Batch last;
  std::vector<TaskLoss> last_sums;
};

Trainer::Parts::Parts(std::string name_, const Schema& schema_, const LearnerOptions& options_)
    : name(std::move(name_)),
      schema(input_schema(schema_, options_.model)),
      options(options_),
      threads(options.train.threads),
      model(schema, options.model),
      tile(Chunks::tile(model.parameter_count())),
      inputs(schema, options.embeddings, options.train.embedding,
             static_cast<std::uint64_t>(options.train.seed), &threads),
      weights(allocate_host<float>(model.parameter_count())),
      updater(options.train.dense, model.parameter_count(), model.parameters(), model.tasks()),
      kept(fixed_slots(model.parameters())),
      fixed(kept.size()),
      gates(model, tile),
      heads(schema, options.train.feedback, model.inputs(), options.train.batch,
            Chunks(options.train.batch).count, std::min(tile, options.train.batch),
            static_cast<std::uint64_t>(options.train.seed)),
      shares(model.tasks()),
      labels(schema, options.train.labels),
      outputs(schema),
      metrics(schema, options.evaluate, options.train.recalibrate),
      watch(schema, model, options.evaluate),
      scores(schema, options.train.feedback.forget_after),
      guardrail(schema, options.guardrails),
      losses(schema, options.train.batch),
      balancing(schema, options.balance, options.relations, model, losses,
                options.model.backbone == BackboneKind::kStem ? stem_groups(schema) : InputGroups{},
                options.train.batch, options.train.dense.task_states,
                static_cast<std::uint64_t>(options.train.seed)),
      scale(schema.tasks().size()),
      dx(allocate_host<float>(long{options.train.batch} * model.inputs())),
      z(allocate_host<float>(long{options.train.batch} * model.tasks())),
      dz(allocate_host<float>(long{options.train.batch} * model.tasks())),
      prepared(model, options.train.batch, options.train.products),
      last_loss(schema.tasks().size()) {
  metrics.set_learns(guardrail.learns());
  const auto count = static_cast<std::size_t>(model.parameter_count());
  model.initialise(static_cast<std::uint64_t>(options.train.seed), {weights.get(), count});
  for (int t = 0; t < threads.count(); ++t) {
    const int rows = std::min(tile, options.train.batch);
    ThreadMemory memory{open_device<float>("cpu", options.train.products), nullptr,
                        allocate_host<float>(long{rows} * model.inputs())};
    memory.work = model.workspace(*memory.backend, rows);
    thread_memory.push_back(std::move(memory));
  }
  for (int c = 0; c < Chunks(options.train.batch).count; ++c) {
    chunk_gradients.push_back(allocate_host<float>(model.parameter_count()));
  }
}

// Puts the last bias of each task that has its first labels to their base rate.
void Trainer::Parts::start_outputs(const Batch& batch) {
  biases_before.clear();
  for (int k = 0; k < model.tasks(); ++k) {
    if (guardrail.learns()[static_cast<std::size_t>(k)] == 0) continue;
    if (const auto bias = outputs.start(batch, k)) {
      float& place = weights[static_cast<std::size_t>(model.output_bias(k))];
      biases_before.emplace_back(model.output_bias(k), place);
      place = *bias;
    }
  }
}

Pass Trainer::Parts::pass_of(const Batch& batch, bool training) const {
  return {.training = training,
          .seed = static_cast<std::uint64_t>(options.train.seed),
          .step = steps,
          .batch_rows = static_cast<double>(learned_rows(batch))};
}

// Forward, loss and backward of one chunk's rows, tile by tile.
void Trainer::Parts::run_chunk(const Chunks& chunks, int chunk, ThreadMemory& memory,
                               const Batch& batch, bool only_score) {
  const int D = model.inputs(), T = model.tasks(), batch_rows = batch.rows;
  Pass pass = pass_of(batch, !only_score);
  for (int first = chunks.begin(chunk); first < chunks.end(chunk); first += tile) {
    const int count = std::min(tile, chunks.end(chunk) - first);
    const View<float> x_tile = view_of(memory.x, count, D);
    const View<float> z_tile = view_of(z, batch_rows, T).rows_from(first, count);
    const View<float> dz_tile = view_of(dz, batch_rows, T).rows_from(first, count);
    inputs.gather(first, x_tile);
    heads.run(chunk, first == chunks.begin(chunk), first, x_tile);
    pass.first_row = first;
    pass.row_weights =
        std::span(batch.weights)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    model.forward(weights.get(), x_tile, *memory.work, z_tile, pass);
    TaskGradients& by_loss = balancing.gradients();
    losses.run<float>(first, z_tile, scale, heads, dz_tile,
                      only_score ? View<float>{} : by_loss.slopes(chunk, count));
    if (only_score) continue;
    if (first == 0)
      balancing.take_representation(model.tower_inputs(*memory.work), pass.row_weights);
    // Only embedding rows need the slopes in x.
    const View<float> dx_tile = inputs.tables().empty()
                                    ? View<float>{}
                                    : view_of(dx, batch_rows, D).rows_from(first, count);
    by_loss.backward(weights.get(), *memory.work,
                     {.chunk = chunk,
                      .starts_chunk = first == chunks.begin(chunk),
                      .first = first,
                      .x = x_tile,
                      .dz = dz_tile,
                      .dx = dx_tile,
                      .gradients = chunk_gradients[static_cast<std::size_t>(chunk)].get()});
  }
}

auto Trainer::Parts::step(const Batch& batch) -> Done {
  labels.begin(updater.steps());
  const std::vector<std::uint8_t>& learns = guardrail.begin(batch, labels.joined());
  if (std::find(learns.begin(), learns.end(), 1) != learns.end()) inputs.advance(batch.due);
  inputs.look_up(batch);
  losses.begin(batch, labels.classes());
  heads.begin(batch, learns);
  start_outputs(batch);

  // Normalisers and task weights are known before the first tile.
  const int learned = learned_rows(batch);
  const bool full = learned == options.train.batch;
  LabelShares next_shares = shares;
  next_shares.add(batch.stream, learned, losses.counts());
  labels.weigh(balancing.weights(), omega);
  for (int k = 0; k < model.tasks(); ++k) {
    const auto at = static_cast<std::size_t>(k);
    const double norm = full ? losses.counts()[at] : learned * next_shares.share(batch.stream, k);
    scale[at] = norm > 0 && learns[at] != 0 ? omega[at] / norm : 0;
  }
  balancing.begin(scale, batch.rows);
  const Chunks chunks(batch.rows);
  prepared.prepare(*thread_memory[0].backend, weights.get(), batch.rows, !inputs.tables().empty());
  for (ThreadMemory& memory : thread_memory) prepared.share(*memory.backend, *memory.work);
  gates.measure(batch, pass_of(batch, true), weights.get(), inputs, z.get(), threads, [&](int t) {
    const ThreadMemory& memory = thread_memory[static_cast<std::size_t>(t)];
    return GateMeans::Place{*memory.work, memory.x.get()};
  });
  threads.run(chunks.count, [&](int c, int t) {
    run_chunk(chunks, c, thread_memory[static_cast<std::size_t>(t)], batch);
  });
  // What comes next may read other weights.
  for (ThreadMemory& memory : thread_memory) prepared.forget(*memory.backend, *memory.work);
  return finish(batch, next_shares);
}

// All as it was before the batch.
void Trainer::Parts::take_back() {
  inputs.undo();
  heads.undo();
  for (const auto& [place, before] : biases_before) {
    weights[static_cast<std::size_t>(place)] = before;
  }
}

// Updates everything that learns, or nothing if a loss or a gradient is not finite.
auto Trainer::Parts::finish(const Batch& batch, const LabelShares& next_shares) -> Done {
  const int learned = learned_rows(batch);
  std::vector<TaskLoss> sums = losses.sums();
  // As a float: what a float cannot hold has no place among float weights.
  const auto bad = std::find_if(sums.begin(), sums.end(), [](const TaskLoss& loss) {
    return !std::isfinite(static_cast<float>(loss.sum));
  });
  bool finite = bad == sums.end();
  std::vector<float*> gradients;
  const Chunks chunks(batch.rows);
  for (int c = 0; c < chunks.count; ++c) {
    // The last chunks of a batch may be empty.
    if (chunks.begin(c) < chunks.end(c)) {
      gradients.push_back(chunk_gradients[static_cast<std::size_t>(c)].get());
    }
  }
  const View<float> input_slopes = view_of(dx, batch.rows, model.inputs());
  const int used = static_cast<int>(gradients.size());
  if (finite && balancing.gradients().combines()) {
    finite = balancing.gradients().combine(used, updater, threads, inputs, steps, gradients[0],
                                           input_slopes);
  } else {
    finite = finite && updater.sum(gradients, threads);
  }
  finite = finite && heads.sum(used, threads);
  finite = finite && inputs.scatter(input_slopes, static_cast<float>(learned));
  if (!finite) {
    take_back();
    guardrail.skipped(batch, bad == sums.end() ? -1 : static_cast<int>(bad - sums.begin()));
    return Done::kSkipped;
  }
  const double fraction = static_cast<double>(learned) / options.train.batch;
  metrics.add(batch, view_of(z, batch.rows, model.tasks()), losses, outputs);
  if (scores.any()) {
    scores.add(batch, view_of(z, batch.rows, model.tasks()), metrics.served(),
               metrics.slice_marks(batch));
  }
  guardrail.add(batch, view_of(z, batch.rows, model.tasks()), losses);
  labels.add(batch);
  const std::vector<std::uint8_t>& learns = guardrail.learns();
  bool any = false;
  for (std::size_t k = 0; k < sums.size(); ++k) {
    if (learns[k] == 0) sums[k] = {};
    any |= sums[k].count > 0;
  }
  if (!any) {
    take_back();
    return Done::kMeasured;
  }
  outputs.add(batch, learns);
  shares = next_shares;
  if (balancing.learned(batch, view_of(z, batch.rows, model.tasks()), sums, fraction, used,
                        metrics)) {
    for (int k = 0; k < model.tasks(); ++k) {
      const auto similarity = balancing.relations().gradients().similarity(k);
      if (similarity) model.set_similarity(k, *similarity, weights.get());
    }
  }
  watch.measure(
      batch, steps, rows, weights.get(), [&](View<float> x) { inputs.gather(0, x); },
      *thread_memory[0].work, rows_of(schema, inputs));
  kept.resize(fixed);
  for (int k = 0; k < model.tasks(); ++k) {
    if (learns[static_cast<std::size_t>(k)] != 0) continue;
    const std::vector<ParameterSlot> own = own_slots(model.parameters(), k);
    kept.insert(kept.end(), own.begin(), own.end());
  }
  model.follow(gradients[0], learned, learns, weights.get());
  const auto change = updater.step(weights.get(), gradients[0], fraction, threads, kept,
                                   balancing.gradients().by_task());
  heads.keep(threads);
  inputs.set_rate_factor(scheduled_share(options.train.embedding.schedule, updater.steps()));
  const float largest_row = inputs.keep(fraction);
  guardrail.stepped(batch, change.norm, change.change,
                    change.largest <= largest_row ? double{largest_row} : change.largest);
  for (std::size_t k = 0; k < sums.size(); ++k) {
    if (sums[k].count > 0) last_loss[k] = sums[k].sum / sums[k].count;
  }
  if (published) {
    last = batch;
    last_sums = std::move(sums);
  }
  return Done::kLearned;
}

// Whether every weight that a version would hold is within its bound.
bool Trainer::Parts::is_bounded() {
  const auto most = static_cast<float>(options.guardrails.publish.max_weight);
  const long count = model.parameter_count();
  return std::all_of(weights.get(), weights.get() + count,
                     [&](float weight) { return std::abs(weight) <= most; }) &&
         std::all_of(
             inputs.tables().begin(), inputs.tables().end(),
             [&](const EmbeddingTable& table) { return table.is_bounded(!published, most); });
}

// Whether the last batch's loss is far above what it was before that batch was learned.
bool Trainer::Parts::lost() {
  if (last_sums.empty()) return false;
  inputs.look_up(last);
  losses.begin(last, labels.classes());
  heads.begin(last, guardrail.learns());
  const Chunks chunks(last.rows);
  for (int c = 0; c < chunks.count; ++c) run_chunk(chunks, c, thread_memory[0], last, true);
  inputs.undo();
  heads.undo();
  const std::vector<TaskLoss> now = losses.sums();
  for (int k = 0; k < model.tasks(); ++k) {
    const auto at = static_cast<std::size_t>(k);
    const std::optional<double> usual = guardrail.usual_loss(k);
    const bool binary = schema.tasks()[at].kind == TaskKind::kBinary;
    if (last_sums[at].count == 0 || (!usual && !binary)) continue;
    // A few rows say little: a version is as good as what it makes of the usual row.
    const double before =
        std::max(last_sums[at].sum, last_sums[at].count * usual.value_or(kCoinLoss));
    if (!(now[at].sum <= options.guardrails.publish.max_loss * before)) return true;
  }
  return false;
}

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
