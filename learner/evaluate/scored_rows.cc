#include "learner/evaluate/scored_rows.h"

#include <algorithm>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr int kNumberBits = 23, kPositionBits = 40;

bool is_kept(std::uint64_t place, std::uint64_t share) {
  return (mix_bits(place >> 1) & (share - 1)) == 0;
}

}  // namespace

void ScoredRows::add(const Measurement& row, std::uint64_t position) {
  MILLRACE_CHECK(position >= position_ && position >> kPositionBits == 0);
  number_ = position == position_ ? number_ : 0;
  position_ = position;
  MILLRACE_CHECK(number_ >> kNumberBits == 0);
  const std::uint64_t place =
      (position << kNumberBits | number_) << 1 | (row.label > 0.5 ? 1U : 0U);
  ++number_;
  if (!is_kept(place, share_)) return;
  while (rows_.size() >= most_) {
    share_ *= 2;
    std::erase_if(rows_, [&](const Row& kept) { return !is_kept(kept.place, share_); });
    if (!is_kept(place, share_)) return;
  }
  rows_.push_back({place, static_cast<float>(row.logit), static_cast<float>(row.weight)});
}

PairedScores paired_scores(const ScoredRows& a, const ScoredRows& b) {
  PairedScores pairs;
  pairs.share = std::max(a.share(), b.share());
  auto left = a.rows().begin(), right = b.rows().begin();
  while (left != a.rows().end() && right != b.rows().end()) {
    if (left->place >> 1 < right->place >> 1) {
      ++left;
    } else if (right->place >> 1 < left->place >> 1) {
      ++right;
    } else {
      if (left->place == right->place && left->weight == right->weight &&
          is_kept(left->place, pairs.share)) {
        pairs.labels.push_back(static_cast<std::uint8_t>(left->place & 1));
        pairs.weights.push_back(left->weight);
        pairs.a.push_back(left->logit);
        pairs.b.push_back(right->logit);
      }
      ++left, ++right;
    }
  }
  return pairs;
}

}  // namespace millrace
