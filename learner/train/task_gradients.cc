#include "learner/train/task_gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learner/base/check.h"
#include "learner/train/chunks.h"

namespace millrace {
namespace {

// ⟨a, b⟩ in double, side by side for the compiler: what is left of gradients that cancel out is
// compared with 0.
double dot(const float* a, const float* b, long count) {
  constexpr long kLanes = 16;
  double lanes[kLanes] = {};
  long i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (long l = 0; l < kLanes; ++l) lanes[l] += double{a[i + l]} * double{b[i + l]};
  }
  for (; i < count; ++i) lanes[i % kLanes] += double{a[i]} * double{b[i]};
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// y ← y + a x
void add_scaled(float a, const float* x, long count, float* y) {
  for (long i = 0; i < count; ++i) y[i] += a * x[i];
}

}  // namespace

TaskGradients::TaskGradients(const Model<float>& model, const TaskLosses& losses,
                             const BalanceOptions& options, const InputGroups& groups, int rows,
                             Uses uses, std::uint64_t seed)
    : model_(model),
      losses_(losses),
      options_(options),
      tasks_(model.tasks()),
      most_rows_(rows),
      seed_(seed),
      parts_(groups.count) {
  for (const InputGroups::Part& part : groups.parts) {
    if (part.own) own_columns_.push_back({part.from, long{part.width} * (groups.count - 1)});
  }
  const bool measures = uses.measures;
  const bool all = options.surgery != Surgery::kNone || uses.apart;
  const long T = tasks_, chunks = Chunks(rows).count,
             tile = std::min(Chunks::tile(model_.parameter_count()), rows);
  if ((all || measures) && losses.slope_matrices() > 1) {
    slopes_ = allocate_host<float>(chunks * tile * losses.slope_matrices() * T);
  }
  if (measures) {
    last_shared_ = allocate_host<float>(chunks * T * model.last_shared_count());
    sums_.resize(static_cast<std::size_t>(T * model.last_shared_count()));
  }
  if (!all) return;
  by_task_.reserve(static_cast<std::size_t>(T));
  all_ = allocate_host<float>(chunks * T * model.parameter_count());
  dx_ = allocate_host<float>(T * rows * model.inputs());
  row_gradients_.resize(static_cast<std::size_t>(T));
  for (const ParameterSlot& slot : model.parameters()) {
    std::vector<Run>& runs = !slot.trained ? fixed_ : slot.task < 0 ? shared_ : own_;
    for (int r = 0; r < slot.rows; ++r) runs.push_back({slot.offset + r * slot.stride, slot.cols});
  }
  for (std::vector<Run>* runs : {&shared_, &own_, &fixed_}) {
    std::sort(runs->begin(), runs->end(), [](Run a, Run b) { return a.offset < b.offset; });
    std::vector<Run> joined;
    for (const Run& run : *runs) {
      if (!joined.empty() && joined.back().offset + joined.back().count == run.offset) {
        joined.back().count += run.count;
      } else {
        joined.push_back(run);
      }
    }
    *runs = std::move(joined);
  }
}

double TaskGradients::bytes(const Model<float>& model, int rows) {
  return sizeof(float) * static_cast<double>(model.tasks()) *
         (static_cast<double>(Chunks(rows).count) * static_cast<double>(model.parameter_count()) +
          static_cast<double>(rows) * model.inputs());
}

float* TaskGradients::all(int chunk, int loss) const {
  return all_.get() + (long{chunk} * tasks_ + loss) * model_.parameter_count();
}

float* TaskGradients::last_shared(int chunk, int loss) const {
  return last_shared_.get() + (long{chunk} * tasks_ + loss) * model_.last_shared_count();
}

float* TaskGradients::input_slopes(int loss) const {
  return dx_.get() + long{loss} * most_rows_ * model_.inputs();
}

void TaskGradients::begin(Want want, const std::vector<double>& scale, int rows) {
  want_ = want;
  scale_ = &scale;
  rows_ = rows;
  active_.clear();
  by_task_.clear();
  for (int k = 0; k < tasks_; ++k) {
    const auto at = static_cast<std::size_t>(k);
    if (scale[at] > 0 && losses_.counts()[at] > 0) active_.push_back(k);
  }
  if (active_.empty()) want_ = Want::kSum;
}

View<float> TaskGradients::slopes(int chunk, int rows) {
  const int matrices = losses_.slope_matrices();
  if (want_ == Want::kSum || matrices == 1) return {};
  const long size =
      long{std::min(Chunks::tile(model_.parameter_count()), most_rows_)} * matrices * tasks_;
  return {slopes_.get() + chunk * size, rows, matrices * tasks_};
}

void TaskGradients::backward(const float* weights, Model<float>::Workspace& work,
                             const Tile& tile) {
  if (want_ == Want::kSum) {
    model_.backward(weights, tile.x, work, tile.dz, tile.gradients, !tile.starts_chunk, tile.dx);
    return;
  }
  const View<float> by_loss = slopes(tile.chunk, tile.x.rows);
  const auto slope_of = [&](int loss) -> Model<float>::LossSlope {
    const View<const float> dz =
        by_loss.data == nullptr
            ? tile.dz
            : View<const float>(by_loss.cols_from(losses_.slope_matrix(loss) * tasks_, tasks_));
    return {dz, losses_.towers(loss)};
  };
  if (want_ == Want::kAll) {
    for (const int k : active_) {
      float* block = all(tile.chunk, k);
      if (tile.starts_chunk) std::fill_n(block, model_.parameter_count(), 0.0F);
      View<float> dx;
      if (tile.dx.data != nullptr) {
        dx = View<float>{input_slopes(k), most_rows_, model_.inputs()}.rows_from(tile.first,
                                                                                 tile.x.rows);
      }
      model_.backward_loss(weights, tile.x, work, slope_of(k), block, true, dx);
    }
    return;
  }
  // All losses, those that take no part too: every tower is reached by its own.
  std::vector<Model<float>::LossSlope> slopes;
  std::vector<float*> blocks;
  for (int k = 0; k < tasks_; ++k) {
    slopes.push_back(slope_of(k));
    blocks.push_back(last_shared(tile.chunk, k));
  }
  model_.backward_by_loss(weights, tile.x, work, slopes, tile.gradients, !tile.starts_chunk,
                          tile.dx, blocks);
}

// Puts the parts that one task alone reaches to 0: they have no inner product with another's.
void TaskGradients::keep_shared(int dimension, std::vector<float>& rows) const {
  const int own = dimension / parts_ * (parts_ - 1);
  if (own == 0) return;
  for (std::size_t row = 0; row < rows.size(); row += static_cast<std::size_t>(dimension)) {
    std::fill_n(rows.data() + row, own, 0.0F);
  }
}

Gram TaskGradients::gram(const InputLayer& inputs, int D) {
  constexpr long kBlock = 2048;  // Of all losses' gradients, in the cache together.
  Gram gram(tasks_);
  const auto add = [&](auto&& part, long count) {
    for (std::size_t i = 0; i < active_.size(); ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        gram(active_[i], active_[j]) += dot(part(active_[i]), part(active_[j]), count);
      }
    }
  };
  for (const Run& run : shared_) {
    for (long first = 0; first < run.count; first += kBlock) {
      const long at = run.offset + first;
      add([&](int k) { return all(0, k) + at; }, std::min(kBlock, run.count - first));
    }
  }
  for (int table = 0; table < static_cast<int>(inputs.tables().size()); ++table) {
    for (const int k : active_) {
      inputs.row_gradients(table, View<const float>{input_slopes(k), rows_, D},
                           row_gradients_[static_cast<std::size_t>(k)]);
      keep_shared(inputs.tables()[static_cast<std::size_t>(table)].shape().dimension,
                  row_gradients_[static_cast<std::size_t>(k)]);
    }
    const auto size =
        static_cast<long>(row_gradients_[static_cast<std::size_t>(active_[0])].size());
    for (long first = 0; first < size; first += kBlock) {
      add([&](int k) { return row_gradients_[static_cast<std::size_t>(k)].data() + first; },
          std::min(kBlock, size - first));
    }
  }
  for (const int i : active_) {
    for (const int j : active_) {
      if (j < i) gram.set(i, j, gram(i, j));
    }
  }
  return gram;
}

// What of each loss's gradient of shared weights is in the combined one; nothing where a product is
// not finite.
std::optional<std::vector<double>> TaskGradients::shares_of(const InputLayer& inputs, int D,
                                                            std::uint64_t step) {
  if (options_.surgery == Surgery::kNone) {
    return std::vector<double>(static_cast<std::size_t>(tasks_), 1.0);
  }
  const Gram products = gram(inputs, D);
  for (const int k : active_) {
    if (!std::isfinite(products(k, k))) return std::nullopt;
  }
  return options_.surgery == Surgery::kPcgrad ? pcgrad(products, seed_, step)
                                              : cagrad(products, options_.cagrad_radius);
}

bool TaskGradients::combine(int chunks, DenseUpdater<float>& updater, Threads& threads,
                            const InputLayer& inputs, std::uint64_t step, float* gradient,
                            View<float> dx) {
  bool finite = true;
  for (const int k : active_) {
    std::vector<float*> blocks;
    for (int c = 0; c < chunks; ++c) blocks.push_back(all(c, k));
    finite = updater.sum(blocks, threads) && finite;
  }
  if (!finite) return false;
  const auto shares = shares_of(inputs, dx.cols, step);
  if (!shares) return false;
  std::fill_n(gradient, model_.parameter_count(), 0.0F);
  const bool has_rows = !inputs.tables().empty();  // nobody else wants slopes in x
  const long inputs_count = has_rows ? long{dx.rows} * dx.cols : 0;
  std::fill_n(dx.data, inputs_count, 0.0F);
  for (const int k : active_) {
    const auto share = static_cast<float>((*shares)[static_cast<std::size_t>(k)]);
    const float* own = all(0, k);
    by_task_.push_back({k, own});
    for (const Run& run : shared_) {
      add_scaled(share, own + run.offset, run.count, gradient + run.offset);
    }
    for (const Run& run : own_) add_scaled(1, own + run.offset, run.count, gradient + run.offset);
    add_scaled(share, input_slopes(k), inputs_count, dx.data);
    for (int r = 0; has_rows && r < dx.rows; ++r) {
      for (const Run& run : own_columns_) {
        const long at = long{r} * dx.cols + run.offset;
        add_scaled(1 - share, input_slopes(k) + at, run.count, dx.data + at);
      }
    }
  }
  // What the rows left there is the same in every loss's pass.
  for (const Run& run : fixed_) {
    std::copy_n(all(0, active_[0]) + run.offset, run.count, gradient + run.offset);
  }
  return updater.sum(std::span<float* const>(&gradient, 1), threads);
}

// With surgery the layer's gradients are among all the others, summed over the chunks.
void TaskGradients::copy_last_shared(int chunks) {
  for (const int k : active_) {
    float* to = last_shared(0, k);
    if (want_ == Want::kLastShared) {
      for (int c = 1; c < chunks; ++c) {
        add_scaled(1, last_shared(c, k), model_.last_shared_count(), to);
      }
      continue;
    }
    for (const ParameterSlot& slot : model_.last_shared()) {
      for (int r = 0; r < slot.rows; ++r, to += slot.cols) {
        std::copy_n(all(0, k) + slot.offset + r * slot.stride, slot.cols, to);
      }
    }
  }
}

void TaskGradients::accumulate(int chunks, std::span<const TaskLoss> sums) {
  if (want_ == Want::kSum || !measures()) return;
  copy_last_shared(chunks);
  const long count = model_.last_shared_count();
  for (const int k : active_) {
    const auto at = static_cast<std::size_t>(k);
    if (sums[at].count == 0) continue;
    // From the gradient of ω L to that of the sum of its rows' losses.
    const auto scale = static_cast<float>(1 / (*scale_)[at]);
    add_scaled(scale, last_shared(0, k), count, sums_.data() + k * count);
    summed_ = true;
  }
}

std::vector<double> TaskGradients::take_gram(std::span<const TaskLoss> counts) {
  const auto T = static_cast<std::size_t>(tasks_);
  const long size = model_.last_shared_count();
  std::vector<double> gram(T * T, std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < T; ++i) {
    for (std::size_t j = 0; j <= i && summed_; ++j) {
      if (counts[i].count == 0 || counts[j].count == 0) continue;
      const auto a = static_cast<long>(i), b = static_cast<long>(j);
      gram[i * T + j] = gram[j * T + i] =
          dot(sums_.data() + a * size, sums_.data() + b * size, size) /
          (counts[i].count * counts[j].count);
    }
  }
  std::fill(sums_.begin(), sums_.end(), 0.0F);
  summed_ = false;
  return gram;
}

void TaskGradients::save(ByteWriter& writer) const { writer.put_all(sums_); }

void TaskGradients::restore(ByteReader& reader) {
  const std::vector<float> sums = reader.get_all<float>();
  if (sums.size() != sums_.size()) throw StateError("the saved gradients are of another size");
  if (!std::all_of(sums.begin(), sums.end(), [](float v) { return std::isfinite(v); })) {
    throw StateError("the saved gradients are not finite");
  }
  sums_ = sums;
  summed_ = true;
}

}  // namespace millrace
