#include "learner/balance/task_weights.h"

#include <algorithm>

#include "learner/balance/fixed.h"
#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr std::size_t kHead = sizeof(std::uint64_t) + sizeof(double);

}  // namespace

TaskWeights::TaskWeights(const BalanceOptions& options, const std::vector<Task>& tasks,
                         std::uint64_t seed)
    : warmup_steps_(static_cast<std::uint64_t>(options.warmup_steps)),
      balancer_(make_balancer(options, tasks, seed)),
      sums_(tasks.size()) {
  const FixedBalancer fixed(options, tasks);
  fixed_.assign(fixed.weights().begin(), fixed.weights().end());
}

std::span<const double> TaskWeights::weights() const {
  return steps_ < warmup_steps_ ? std::span<const double>(fixed_) : balancer_->weights();
}

bool TaskWeights::completes(double fraction) const {
  // Sixteen batches of a sixteenth are a step, whatever their fractions' rounding.
  return fraction_ + fraction >= 1 - 1e-9;
}

void TaskWeights::add(std::span<const TaskLoss> losses, double fraction,
                      std::span<const double> norms, std::span<const double> performance) {
  MILLRACE_CHECK(losses.size() == sums_.size());
  for (std::size_t k = 0; k < losses.size(); ++k) {
    sums_[k].sum += losses[k].sum;
    sums_[k].count += losses[k].count;
  }
  if (!completes(fraction)) {
    fraction_ += fraction;
    return;
  }
  fraction_ = 0;
  ++steps_;
  balancer_->step({sums_, norms, performance});
  std::fill(sums_.begin(), sums_.end(), TaskLoss{});
}

void TaskWeights::save(ByteWriter& writer) const {
  writer.put(steps_);
  writer.put(fraction_);
  for (const TaskLoss& loss : sums_) {
    writer.put(loss.sum);
    writer.put(loss.count);
  }
  balancer_->save(writer);
}

void TaskWeights::restore(ByteReader& reader) {
  steps_ = reader.get<std::uint64_t>();
  fraction_ = read_finite(reader);
  for (TaskLoss& loss : sums_) {
    loss.sum = read_finite(reader);
    loss.count = read_finite(reader);
    if (loss.count < 0) throw StateError("the balancer's state is out of its range");
  }
  if (fraction_ < 0 || fraction_ > 1) {
    throw StateError("the balancer's state is out of its range");
  }
  balancer_->restore(reader);
}

std::string TaskWeights::migrate(std::string_view state, const BalanceOptions& options,
                                 std::size_t old_count, const std::vector<Task>& new_tasks,
                                 const std::vector<int>& tasks) {
  const TaskWeights fresh(options, new_tasks, 0);
  ByteWriter fresh_writer;
  fresh.save(fresh_writer);
  const std::string_view fresh_state = fresh_writer.bytes();
  const std::size_t record =
      sizeof(double) * static_cast<std::size_t>(fresh.balancer_->task_values());
  constexpr std::size_t kSums = 2 * sizeof(double);
  const std::size_t method = kHead + old_count * kSums, records = old_count * record;
  if (state.size() < method + records) throw StateError("saved state ends too early");

  std::string moved(state.substr(0, kHead));
  for (const int old : tasks) {
    if (old < 0) {
      moved.append(kSums, '\0');
    } else {
      moved += state.substr(kHead + static_cast<std::size_t>(old) * kSums, kSums);
    }
  }
  const std::size_t first = state.size() - records;
  const std::string_view fresh_records =
      fresh_state.substr(fresh_state.size() - new_tasks.size() * record);
  moved += state.substr(method, first - method);
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    moved += tasks[k] < 0
                 ? fresh_records.substr(k * record, record)
                 : state.substr(first + static_cast<std::size_t>(tasks[k]) * record, record);
  }
  return moved;
}

}  // namespace millrace
