#include "learner/train/feedback_heads.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "learner/base/check.h"
#include "learner/device/devices.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"
#include "learner/math/product_head.h"
#include "learner/model/initialise.h"
#include "learner/model/parameter_block.h"

namespace millrace {
namespace {

constexpr std::string_view kValue = "feedback";

}  // namespace

std::vector<FeedbackHeads::Head> FeedbackHeads::heads_of(const Schema& schema) {
  std::vector<Head> heads;
  for (int k = 0; k < static_cast<int>(schema.tasks().size()); ++k) {
    const FeedbackPolicy policy = schema.tasks()[index(k)].policy;
    if (policy == FeedbackPolicy::kDfm) {
      const Task& task = schema.tasks()[index(k)];
      Head& head = heads.emplace_back(Head{.task = k, .of = Of::kRate, .odds = {k}});
      for (int c = task.entire_space ? task.given : -1; c >= 0;
           c = schema.tasks()[index(c)].given) {
        head.odds.insert(head.odds.begin(), c);
      }
      // Until a delay is known: half of what comes does so within the short wait.
      head.unit =
          DelayScale(static_cast<double>(std::max<std::int64_t>(1, task.short_wait.count())));
    } else if (has_short_wait(policy)) {
      heads.push_back({k, Of::kDelayed, target::kDelayedKnown, target::kDelayed});
    }
    if (policy == FeedbackPolicy::kEsDfm || policy == FeedbackPolicy::kDefuse) {
      heads.push_back({k, Of::kNever, target::kNeverKnown, target::kNever});
    }
  }
  return heads;
}

FeedbackHeads::FeedbackHeads(const Schema& schema, const FeedbackOptions& options, int inputs,
                             int batch, int chunks, int tile, std::uint64_t seed)
    : tasks_(schema.tasks().size()),
      batch_rows_(batch),
      tile_(tile),
      heads_(heads_of(schema)),
      delayed_(tasks_, -1),
      never_(tasks_, -1),
      rate_(tasks_, -1),
      weights_(allocate_host<float>(1)),
      shares_(static_cast<int>(heads_.size())),
      next_shares_(shares_),
      counts_(heads_.size()),
      scale_(heads_.size()) {
  if (heads_.empty()) return;
  const int count = static_cast<int>(heads_.size());
  for (int h = 0; h < count; ++h) {
    const Head& head = heads_[index(h)];
    std::vector<int>& of = head.of == Of::kRate ? rate_ : head.of == Of::kNever ? never_ : delayed_;
    of[index(head.task)] = h;
  }
  std::vector<int> layers = options.layers;
  layers.push_back(1);
  bank_ = std::make_unique<MlpBank<float>>(count, inputs, layers, MlpBank<float>::Last::kLinear,
                                           parameters_, plan_);
  std::vector<ParameterSlot> slots;
  append_slots(*bank_, "feedback", 0, 1, 0, false, slots);
  for (int h = 0; h < count; ++h) {
    const std::string own = "feedback." + std::to_string(h) + ".";
    for (const ParameterSlot& slot : slots) {
      if (slot.name.starts_with(own)) heads_[index(h)].slots.push_back(slot);
    }
  }
  weights_ = allocate_host<float>(parameters_);
  initialise_slots(slots, seed,
                   std::span<float>(weights_.get(), static_cast<std::size_t>(parameters_)));
  DenseOptimizerOptions adam;
  adam.rate = options.rate;
  updater_ = std::make_unique<DenseUpdater<float>>(adam, parameters_);
  for (int c = 0; c < chunks; ++c) {
    Chunk chunk{open_device<float>("cpu"), allocate_host<float>(plan_.values_per_row() * tile),
                allocate_host<float>(parameters_)};
    chunks_.push_back(std::move(chunk));
  }
  logits_.resize(index(batch) * heads_.size());
  losses_.resize(logits_.size());
}

void FeedbackHeads::begin(const Batch& batch, std::span<const std::uint8_t> learns) {
  batch_ = &batch;
  has_targets_ = false;
  if (heads_.empty()) return;
  const std::size_t rows = index(batch.rows);
  MILLRACE_CHECK(batch.targets.empty() || batch.targets.size() == rows * tasks_);
  MILLRACE_CHECK(batch.until.empty() || batch.until.size() == rows * tasks_);
  MILLRACE_CHECK(batch.since.size() == batch.until.size());
  std::fill(counts_.begin(), counts_.end(), 0.0);
  for (std::size_t i = 0; i < rows; ++i) {
    if (batch.weights[i] == 0) continue;
    for (std::size_t h = 0; h < heads_.size(); ++h) {
      counts_[h] += has_target(i, heads_[h]) ? 1 : 0;
    }
  }
  const int learned = learned_rows(batch);
  next_shares_ = shares_;
  next_shares_.add(batch.stream, learned, counts_);
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    heads_[h].learns = learns[index(heads_[h].task)] != 0;
    has_targets_ |= heads_[h].learns && counts_[h] > 0;
    const double own = learned == batch_rows_
                           ? counts_[h]
                           : learned * next_shares_.share(batch.stream, static_cast<int>(h));
    const auto both =
        heads_[h].of == Of::kRate ? next_shares_.share_of_both(static_cast<int>(h)) : std::nullopt;
    const double norm = both ? learned * *both : own;
    scale_[h] = norm > 0 && heads_[h].learns ? 1 / norm : 0;
    heads_[h].starts_now = false;
    if (heads_[h].started || !heads_[h].learns || !(counts_[h] > 0)) continue;
    if (heads_[h].of == Of::kRate) {
      heads_[h].starts_now = true;
      heads_[h].bias_before = weights_[static_cast<std::size_t>(output_bias(h))];
    } else {
      start(h);
    }
  }
}

bool FeedbackHeads::has_target(std::size_t row, const Head& head) const {
  const std::size_t cell = row * tasks_ + index(head.task);
  if (head.of == Of::kRate) return tells_delay(*batch_, cell);
  return !batch_->targets.empty() && (batch_->targets[cell] & head.known) != 0;
}

math::Loss<double> FeedbackHeads::loss_of(const Head& head, int row, double logit,
                                          const float* z) const {
  if (head.of != Of::kRate) {
    return math::bce<double>(logit, (targets(row, head.task) & head.yes) != 0 ? 1 : 0);
  }
  double odds = z[head.task];
  if (head.odds.size() > 1) {
    math::Product<double> product;
    for (const int j : head.odds) {
      const std::size_t cell = index(row) * tasks_ + index(j);
      const bool certain = !batch_->certain.empty() && batch_->certain[cell] != 0;
      if (j == head.task || !certain) product = math::times(product, double{z[j]});
    }
    odds = product.logit();
  }
  const auto loss =
      delay_loss(*batch_, index(row) * tasks_ + index(head.task), odds, logit, head.unit.ms());
  return {loss.value + loss.density, loss.rate};
}

// The last bias goes to the log odds of the base rate of the head's first targets.
void FeedbackHeads::start(std::size_t h) {
  Head& head = heads_[h];
  double all = 0, yes = 0;
  for (int i = 0; i < batch_->rows; ++i) {
    const std::uint8_t bits = targets(i, head.task);
    if ((bits & head.known) == 0) continue;
    all += batch_->weights[index(i)];
    if ((bits & head.yes) != 0) yes += batch_->weights[index(i)];
  }
  if (!(all > 0)) return;
  float& bias = weights_[static_cast<std::size_t>(output_bias(h))];
  head.bias_before = bias;
  head.starts_now = true;
  bias = static_cast<float>(std::log((yes + 0.5) / (all - yes + 0.5)));
}

void FeedbackHeads::run(int chunk, bool first_tile, int first, View<float> x,
                        View<const float> z_of_model) {
  if (heads_.empty()) return;
  const int count = static_cast<int>(heads_.size());
  Chunk& own = chunks_[index(chunk)];
  const Activations<float> at{*own.backend, plan_.begin(own.memory.get(), tile_), tile_};
  const Stack<float> shared(x, count, 0);
  const Stack<float> z = bank_->forward(weights_.get(), shared, at);
  const Stack<float> dz = bank_->output_slope(at, x.rows);
  for (int r = 0; r < x.rows; ++r) {
    const int row = first + r;
    for (int h = 0; h < count; ++h) {
      const Head& head = heads_[index(h)];
      const std::size_t cell = index(row) * heads_.size() + index(h);
      logits_[cell] = z[h](r, 0);
      losses_[cell] = 0;
      dz[h](r, 0) = 0;
      if (!has_targets_) continue;
      const double weight = batch_->weights[index(row)];
      if (weight == 0 || !has_target(index(row), head)) continue;
      const auto loss =
          loss_of(head, row, z[h](r, 0), head.of == Of::kRate ? z_of_model.row(r) : nullptr);
      losses_[cell] = static_cast<float>(weight * loss.value);
      dz[h](r, 0) = static_cast<float>(scale_[index(h)] * weight * loss.slope);
    }
  }
  if (!has_targets_) return;
  bank_->backward(weights_.get(), shared, false, dz, at, own.gradients.get(), !first_tile, {});
}

bool FeedbackHeads::sum(int chunks, Threads& threads) {
  if (heads_.empty()) return true;
  const std::size_t cells = index(batch_->rows) * heads_.size();
  for (std::size_t cell = 0; cell < cells; ++cell) {
    if (!std::isfinite(logits_[cell]) || !std::isfinite(losses_[cell])) return false;
  }
  if (!has_targets_) return true;
  std::vector<float*> gradients;
  for (int c = 0; c < chunks; ++c) gradients.push_back(chunks_[index(c)].gradients.get());
  return updater_->sum(gradients, threads);
}

void FeedbackHeads::keep(Threads& threads) {
  if (heads_.empty()) return;
  shares_ = next_shares_;
  for (Head& head : heads_) {
    head.started |= head.starts_now;
    if (head.of == Of::kRate && head.learns) take_delays(head);
  }
  if (!has_targets_) return;
  std::vector<ParameterSlot> kept;
  for (const Head& head : heads_) {
    if (!head.learns) kept.insert(kept.end(), head.slots.begin(), head.slots.end());
  }
  updater_->step(weights_.get(), chunks_[0].gradients.get(),
                 static_cast<double>(learned_rows(*batch_)) / batch_rows_, threads, kept);
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    if (!heads_[h].learns || !(counts_[h] > 0)) continue;
    double sum = 0;
    for (int i = 0; i < batch_->rows; ++i) sum += losses_[index(i) * heads_.size() + h];
    heads_[h].last_loss = sum / counts_[h];
  }
}

void FeedbackHeads::take_delays(Head& head) const {
  std::vector<double> delays;
  for (std::size_t i = 0; i < index(batch_->rows); ++i) {
    const std::size_t cell = i * tasks_ + index(head.task);
    if (batch_->weights[i] == 0 || !has_target(i, head) || !(batch_->labels[cell] > 0.5F)) continue;
    delays.push_back(batch_->until[cell]);
  }
  head.unit.add(std::move(delays));
}

void FeedbackHeads::undo() {
  for (std::size_t h = 0; h < heads_.size(); ++h) {
    if (!heads_[h].starts_now) continue;
    weights_[static_cast<std::size_t>(output_bias(h))] = heads_[h].bias_before;
  }
}

double FeedbackHeads::value(int row, int head, double unknown) const {
  if (head < 0 || !(heads_[index(head)].started || heads_[index(head)].starts_now)) return unknown;
  return math::sigmoid(double{logits_[index(row) * heads_.size() + index(head)]});
}

std::vector<HeadReport> FeedbackHeads::report(const Schema& schema) const {
  std::vector<HeadReport> reports;
  for (const Head& head : heads_) {
    if (!head.started) continue;
    const char* of = head.of == Of::kRate ? "rate" : head.of == Of::kNever ? "never" : "delayed";
    reports.push_back({schema.tasks()[index(head.task)].name, of, head.last_loss});
  }
  return reports;
}

void FeedbackHeads::save(StateChanges& changes) const {
  if (heads_.empty()) return;
  ByteWriter writer;
  writer.put_all(std::span<const float>(weights_.get(), static_cast<std::size_t>(parameters_)));
  updater_->save(writer);
  shares_.save(writer);
  for (const Head& head : heads_) writer.put(static_cast<std::uint8_t>(head.started));
  for (const Head& head : heads_) {
    if (head.of == Of::kRate) head.unit.save(writer);
  }
  changes.values.push_back({std::string(kValue), writer.take()});
}

bool FeedbackHeads::restore(std::string_view name, std::string_view bytes) {
  if (name != kValue || heads_.empty()) return false;
  ByteReader reader(bytes);
  const std::vector<float> weights = reader.get_all<float>();
  if (static_cast<long>(weights.size()) != parameters_) {
    throw StateError("the saved heads of delayed feedback have another number of weights");
  }
  std::copy(weights.begin(), weights.end(), weights_.get());
  updater_->restore(reader);
  shares_.restore(reader);
  for (Head& head : heads_) head.started = reader.get<std::uint8_t>() != 0;
  for (Head& head : heads_) {
    if (head.of == Of::kRate) head.unit.restore(reader);
  }
  if (!reader.at_end()) throw StateError("the saved heads of delayed feedback have a wrong size");
  return true;
}

}  // namespace millrace
