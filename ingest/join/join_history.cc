#include "ingest/join/join_history.h"

#include <cmath>
#include <utility>

#include "learner/base/hash.h"

namespace millrace {

void JoinHistory::refused(std::string_view impression_id, Refusal refusal) {
  if (capacity_ == 0) return;
  if (refusals_.size() < capacity_) refusals_.emplace_back();
  refusals_[next_refusal_] = {hash_bytes(impression_id), std::move(refusal)};
  next_refusal_ = (next_refusal_ + 1) % capacity_;
}

void JoinHistory::decided(std::string_view impression_id, const JoinedRow& row, bool finished) {
  if (capacity_ == 0) return;
  if (decisions_.size() < capacity_) {
    decisions_.emplace_back();
    labels_.resize(labels_.size() + tasks_);
  }
  decisions_[next_decision_] = {hash_bytes(impression_id), row.time, row.due, finished};
  for (std::size_t k = 0; k < tasks_; ++k) {
    // Under delayed feedback the final label is measured, and another may be trained.
    const bool is_measured = k < row.measured.size() && !std::isnan(row.measured[k]);
    labels_[next_decision_ * tasks_ + k] = is_measured ? row.measured[k] : row.labels[k];
  }
  next_decision_ = (next_decision_ + 1) % capacity_;
}

std::vector<Refusal> JoinHistory::refusals_of(std::string_view impression_id) const {
  std::vector<Refusal> found;
  const std::uint64_t hash = hash_bytes(impression_id);
  const std::size_t first = refusals_.size() < capacity_ ? 0 : next_refusal_;
  for (std::size_t i = 0; i < refusals_.size(); ++i) {
    const Refused& one = refusals_[(first + i) % refusals_.size()];
    if (one.hash == hash) found.push_back(one.refusal);
  }
  return found;
}

std::vector<JoinHistory::Decision> JoinHistory::decisions_of(std::string_view impression_id) const {
  std::vector<Decision> found;
  const std::uint64_t hash = hash_bytes(impression_id);
  const std::size_t first = decisions_.size() < capacity_ ? 0 : next_decision_;
  for (std::size_t i = 0; i < decisions_.size(); ++i) {
    const std::size_t at = (first + i) % decisions_.size();
    const Decided& one = decisions_[at];
    if (one.hash != hash) continue;
    const auto labels = labels_.begin() + static_cast<std::ptrdiff_t>(at * tasks_);
    found.push_back(
        {one.time, one.due, one.finished, {labels, labels + static_cast<std::ptrdiff_t>(tasks_)}});
  }
  return found;
}

}  // namespace millrace
