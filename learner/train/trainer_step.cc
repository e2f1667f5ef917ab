#include <algorithm>
#include <cmath>
#include <utility>

#include "learner/base/check.h"
#include "learner/train/trainer_parts.h"

namespace millrace {
namespace {

View<float> view_of(const Buffer<float>& buffer, int rows, int cols) {
  return {buffer.get(), rows, cols};
}

}  // namespace

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
  const int chunks = Chunks(options.train.batch).count;
  for (int b = 0; b < gradient_buffers(chunks, threads.count()); ++b) {
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
                               const Batch& batch, float* gradients) {
  const bool only_score = gradients == nullptr;
  const int D = model.inputs(), T = model.tasks(), batch_rows = batch.rows;
  Pass pass = pass_of(batch, !only_score);
  for (int first = chunks.begin(chunk); first < chunks.end(chunk); first += tile) {
    const int count = std::min(tile, chunks.end(chunk) - first);
    const View<float> x_tile = view_of(memory.x, count, D);
    const View<float> z_tile = view_of(z, batch_rows, T).rows_from(first, count);
    const View<float> dz_tile = view_of(dz, batch_rows, T).rows_from(first, count);
    inputs.gather(first, x_tile);
    pass.first_row = first;
    pass.row_weights =
        std::span(batch.weights)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    model.forward(weights.get(), x_tile, *memory.work, z_tile, pass);
    heads.run(chunk, first == chunks.begin(chunk), first, x_tile, z_tile);
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
                      .gradients = gradients});
  }
}

// All chunks; returns whether the sum of their gradients, which the first buffer then holds, is
// finite. Where every loss has a gradient of its own there is none yet.
bool Trainer::Parts::run_chunks(const Batch& batch) {
  const Chunks chunks(batch.rows);
  std::vector<float*> buffers;
  for (const Buffer<float>& buffer : chunk_gradients) buffers.push_back(buffer.get());
  const auto run = [&](int c, int t, float* gradient) {
    run_chunk(chunks, c, thread_memory[static_cast<std::size_t>(t)], batch, gradient);
  };
  if (!balancing.gradients().combines()) {
    return sum_of_chunks(chunks.used(), buffers, updater, threads, run);
  }
  // By loss, in memory of its own: nothing goes to the buffer.
  threads.run(chunks.used(), [&](int c, int t) { run(c, t, buffers[0]); });
  return true;
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
    const double own = full ? losses.counts()[at] : learned * next_shares.share(batch.stream, k);
    const auto both =
        has_short_wait(schema.tasks()[at].policy) ? next_shares.share_of_both(k) : std::nullopt;
    const double norm = both ? learned * *both : own;
    scale[at] = norm > 0 && learns[at] != 0 ? omega[at] / norm : 0;
  }
  balancing.begin(scale, batch.rows);
  prepared.prepare(*thread_memory[0].backend, weights.get(), batch.rows, !inputs.tables().empty());
  for (ThreadMemory& memory : thread_memory) prepared.share(*memory.backend, *memory.work);
  gates.measure(batch, pass_of(batch, true), weights.get(), inputs, z.get(), threads, [&](int t) {
    const ThreadMemory& memory = thread_memory[static_cast<std::size_t>(t)];
    return GateMeans::Place{*memory.work, memory.x.get()};
  });
  const bool finite = run_chunks(batch);
  // What comes next may read other weights.
  for (ThreadMemory& memory : thread_memory) prepared.forget(*memory.backend, *memory.work);
  return finish(batch, next_shares, finite);
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
auto Trainer::Parts::finish(const Batch& batch, const LabelShares& next_shares,
                            bool gradient_finite) -> Done {
  const int learned = learned_rows(batch);
  std::vector<TaskLoss> sums = losses.sums();
  // As a float: what a float cannot hold has no place among float weights.
  const auto bad = std::find_if(sums.begin(), sums.end(), [](const TaskLoss& loss) {
    return !std::isfinite(static_cast<float>(loss.sum));
  });
  bool finite = bad == sums.end() && gradient_finite;
  float* const gradient = chunk_gradients[0].get();
  const View<float> input_slopes = view_of(dx, batch.rows, model.inputs());
  const int used = Chunks(batch.rows).used();
  if (finite && balancing.gradients().combines()) {
    finite = balancing.gradients().combine(used, updater, threads, inputs, steps, gradient,
                                           input_slopes);
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
  model.follow(gradient, learned, learns, weights.get());
  const auto change = updater.step(weights.get(), gradient, fraction, threads, kept,
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
  for (int c = 0; c < chunks.used(); ++c) run_chunk(chunks, c, thread_memory[0], last, nullptr);
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

}  // namespace millrace
