#include "learner/train/first_scores.h"

#include <algorithm>
#include <string>

namespace millrace {
namespace {

constexpr std::string_view kSet = "scores";
constexpr std::string_view kClock = "scores_clock";

std::uint32_t second_of(EventTime time) { return static_cast<std::uint32_t>(time.ms / 1000); }

bool has_product(const Task& task) { return task.entire_space && task.given >= 0; }

int width_of(const Schema& schema) {
  int width = 0;
  for (const Task& task : schema.tasks()) {
    if (task.policy != FeedbackPolicy::kWait) width += has_product(task) ? 2 : 1;
  }
  return width + 1;  // the mark of the slice
}

}  // namespace

FirstScores::FirstScores(const Schema& schema, Duration forget_after)
    : own_(schema.tasks().size(), -1),
      product_(schema.tasks().size(), -1),
      forget_after_(forget_after),
      rows_(width_of(schema)) {
  for (int k = 0; k < static_cast<int>(own_.size()); ++k) {
    const Task& task = schema.tasks()[static_cast<std::size_t>(k)];
    if (task.policy == FeedbackPolicy::kWait) continue;
    tasks_.push_back(k);
    own_[static_cast<std::size_t>(k)] = width_++;
    if (has_product(task)) product_[static_cast<std::size_t>(k)] = width_++;
  }
}

std::uint64_t FirstScores::bytes_each(const Schema& schema) {
  // A row's head and its place in the index.
  return 16 + 11 + sizeof(float) * static_cast<std::uint64_t>(width_of(schema));
}

void FirstScores::add(const Batch& batch, View<const float> z, const ServedLogits& served,
                      std::span<const float> marks) {
  if (!any() || batch.keys.empty()) return;
  forget_old(batch.due);
  if (batch.due < looked_) rows_.doubt_ages();  // of a stream that is behind the last look
  for (int i = 0; i < batch.rows; ++i) {
    const std::uint64_t key = batch.keys[static_cast<std::size_t>(i)];
    if (key == 0 || rows_.find(key) != KeyedRows::kNone) continue;
    const KeyedRows::Row row = rows_.insert(key);
    rows_.seen(row) = second_of(batch.due);
    float* logits = rows_.values(row);
    for (const int k : tasks_) {
      logits[own(k)] = static_cast<float>(served.own(z.row(i), k));
      if (product(k) >= 0) logits[product(k)] = static_cast<float>(served.product(z.row(i), k));
    }
    logits[mark()] = marks.empty() ? 0 : marks[static_cast<std::size_t>(i)];
    rows_.touch(row);
  }
}

const float* FirstScores::find(std::uint64_t key) {
  const KeyedRows::Row row = rows_.find(key);
  if (row != KeyedRows::kNone) return rows_.values(row);
  ++missed_;
  return nullptr;
}

void FirstScores::erase(std::uint64_t key) {
  if (const KeyedRows::Row row = rows_.find(key); row != KeyedRows::kNone) rows_.erase(row);
}

// Looks through all of them now and then, by event time.
void FirstScores::forget_old(EventTime now) {
  if (looked_ == EventTime::before_all()) looked_ = now;
  if (now < looked_ + std::max(Duration{60'000}, forget_after_ / 8)) return;
  looked_ = now;
  rows_.erase_older(second_of(now), static_cast<std::uint32_t>(forget_after_.count() / 1000));
}

void FirstScores::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                       StateChanges& changes) {
  if (!any()) return;
  rows_.save(kSet, sequence, cleanings, changes);
  ByteWriter writer;
  writer.put(looked_.ms);
  writer.put(missed_);
  changes.values.push_back({std::string(kClock), writer.take(), false});
}

bool FirstScores::restore_value(std::string_view name, std::string_view bytes) {
  if (name != kClock) return false;
  ByteReader reader(bytes);
  looked_.ms = reader.get<std::int64_t>();
  missed_ = reader.get<std::uint64_t>();
  if (!reader.at_end()) throw StateError("saved value scores_clock has a wrong size");
  return true;
}

bool FirstScores::restore_block(std::string_view set, std::uint64_t sequence,
                                std::string_view bytes) {
  if (set != kSet || !any()) return false;
  rows_.restore(sequence, bytes);
  return true;
}

}  // namespace millrace
