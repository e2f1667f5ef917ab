#include "learner/embedding/table.h"

#include <algorithm>
#include <array>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/normal.h"

namespace millrace {
namespace {

constexpr double kInitialDeviation = 0.05;
// How many keys are on their way through the index and memory at once.
constexpr std::size_t kAhead = 16;
// The same for the rows that a batch leaves behind, of which less is to do.
constexpr std::size_t kAheadToKeep = 48;
// A full table that evicts drops one row in this many.
constexpr std::uint64_t kEvictedShare = 16;
// Ages are told from seconds modulo 2³²; what may live longer than 34 years lives for ever.
constexpr std::int64_t kLongestAge = std::int64_t{1} << 30;

// The second that a moment belongs to, rounded up so that no row goes early.
std::uint32_t second_of(EventTime time) {
  return static_cast<std::uint32_t>((time.ms + 999) / 1000);
}

}  // namespace

EmbeddingTable::EmbeddingTable(Shape shape, const EmbeddingOptions& options)
    : shape_(std::move(shape)),
      rows_set_("rows/" + shape_.name),
      candidates_set_("candidates/" + shape_.name),
      counters_set_("counters/" + shape_.name),
      admit_after_(options.admit_after),
      expire_after_(options.expire_after),
      max_rows_(static_cast<std::uint64_t>(
          std::min(options.max_rows, std::int64_t{KeyedRows::kNone} - 2))),
      evicts_(options.evict == Eviction::kOldest),
      rows_(shape_.dimension + shape_.state),
      candidates_(1) {
  if (options.admission != KeyAdmission::kBloom || admit_after_ == 1) return;
  MILLRACE_CHECK(admit_after_ <= BloomCounter::kMost);
  bloom_.emplace(static_cast<std::uint64_t>(options.admission_memory.value));
}

const float* EmbeddingTable::find(std::uint64_t key) const {
  const KeyedRows::Row row = rows_.find(key);
  return row == KeyedRows::kNone ? nullptr : rows_.values(row);
}

void EmbeddingTable::expire(EventTime now, bool jumped) {
  const std::int64_t age = (expire_after_.count() + 999) / 1000;
  if (age > kLongestAge) return;
  const std::uint64_t before = rows_.size();
  if (jumped) {
    rows_.erase_all();
    candidates_.erase_all();
  } else {
    rows_.erase_older(static_cast<std::uint32_t>(now.ms / 1000), static_cast<std::uint32_t>(age));
    candidates_.erase_older(static_cast<std::uint32_t>(now.ms / 1000),
                            static_cast<std::uint32_t>(age));
  }
  counters_.expired += before - rows_.size();
}

void EmbeddingTable::make_room(EventTime now) {
  if (!evicts_) return;
  // Beyond its limit is a table whose limit was lowered.
  const auto drop = [&](KeyedRows& rows) -> std::uint64_t {
    if (rows.size() < max_rows_) return 0;
    const std::uint64_t share = std::max(max_rows_ / kEvictedShare, std::uint64_t{1});
    return rows.erase_oldest(second_of(now), rows.size() - max_rows_ + share);
  };
  counters_.evicted += drop(rows_);
  drop(candidates_);
}

void EmbeddingTable::begin(EventTime now) {
  if (second_of(now) - now_ > static_cast<std::uint32_t>(kLongestAge)) {
    rows_.doubt_ages();  // time went back
    candidates_.doubt_ages();
  }
  now_ = second_of(now);
  if (bloom_) {
    const bool fades = expire_after_.count() / 1000 <= kLongestAge;
    bloom_->begin(fades ? static_cast<std::uint32_t>(now.ms / expire_after_.count()) : 0);
  }
  used_.clear();
  weights_.clear();
  looked_up_ = 0;
  inserted_.clear();
  counted_.clear();
  promoted_.clear();
  counters_before_ = counters_;
}

inline std::uint32_t EmbeddingTable::slot_of_row(KeyedRows::Row row) {
  // While a batch is in progress, a used row holds its slot where its second stands.
  const std::uint32_t slot = rows_.seen(row);
  if (slot < used_.size() && used_[slot].row == row) return slot;
  return use(row, slot);
}

void EmbeddingTable::look_up(std::span<const std::uint64_t> keys, std::span<std::uint32_t> slots) {
  MILLRACE_CHECK(keys.size() == slots.size());
  // Each key comes by three times: its place in the index is sent for, then the row that most
  // likely is its own, and then both are there.
  constexpr std::size_t kRing = 2 * kAhead;
  std::array<std::uint64_t, kRing> hashes;
  std::array<KeyedRows::Row, kRing> guesses;
  const std::size_t count = keys.size();
  for (std::size_t at = 0; at < count + 2 * kAhead; ++at) {
    if (at >= 2 * kAhead) {
      const std::size_t i = at - 2 * kAhead;
      const KeyedRows::Row guess = guesses[i % kRing];
      slots[i] = guess != KeyedRows::kNone && rows_.key(guess) == keys[i]
                     ? slot_of_row(guess)
                     : slot_of(keys[i], hashes[i % kRing]);
    }
    if (at < count) {
      hashes[at % kRing] = KeyIndex::hash(keys[at]);
      rows_.index().prefetch(hashes[at % kRing]);
    }
    if (at >= kAhead && at < count + kAhead) {
      const std::size_t i = (at - kAhead) % kRing;
      guesses[i] = rows_.index().first_match(hashes[i]);
      if (guesses[i] != KeyedRows::kNone) rows_.prefetch(guesses[i], shape_.dimension);
    }
  }
  looked_up_ = used_.size();
}

void EmbeddingTable::read(std::span<const std::uint64_t> keys, std::span<std::uint32_t> slots) {
  MILLRACE_CHECK(keys.size() == slots.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const KeyedRows::Row row = keys[i] == kMissingKey ? KeyedRows::kNone : rows_.find(keys[i]);
    slots[i] = row == KeyedRows::kNone ? kNeutral : slot_of_row(row);
  }
}

// The rare way, out of the loop that goes the usual one.
[[gnu::noinline]] std::uint32_t EmbeddingTable::slot_of(std::uint64_t key, std::uint64_t hash) {
  if (key == kMissingKey) return kNeutral;
  KeyedRows::Row row =
      rows_.index().find(hash, [&](KeyedRows::Row r) { return rows_.key(r) == key; });
  if (row == KeyedRows::kNone) {
    if (!admit(key)) return kNeutral;
    row = rows_.insert(key);
    inserted_.push_back(row);
    initialise(key, rows_.values(row));
    ++counters_.admitted;
    return use(row, now_);
  }
  return slot_of_row(row);
}

std::uint32_t EmbeddingTable::use(KeyedRows::Row row, std::uint32_t seen_before) {
  const auto slot = static_cast<std::uint32_t>(used_.size());
  float* const values = rows_.values(row);
  used_.push_back({row, seen_before, values});
  weights_.insert(weights_.end(), values, values + shape_.dimension);
  rows_.seen(row) = slot;
  return slot;
}

// Whether `key`, which has no row, gets one now.
bool EmbeddingTable::admit(std::uint64_t key) {
  const bool has_room = rows_.size() < max_rows_;
  if (bloom_) {
    if (bloom_->count(key) < admit_after_) return false;
  } else if (admit_after_ > 1 && !admit_candidate(key, has_room)) {
    return false;
  }
  if (!has_room) ++counters_.refused;
  return has_room;
}

// Counts `key`; returns whether it was seen often enough.
bool EmbeddingTable::admit_candidate(std::uint64_t key, bool has_room) {
  KeyedRows::Row candidate = candidates_.find(key);
  const bool is_new = candidate == KeyedRows::kNone;
  if (is_new) {
    if (candidates_.size() >= max_rows_) {
      ++counters_.refused;
      return false;
    }
    candidate = candidates_.insert(key);
    *candidates_.values(candidate) = 0;
  }
  float& count = *candidates_.values(candidate);
  counted_.push_back({candidate, count, candidates_.seen(candidate), is_new});
  count = std::min(count + 1, static_cast<float>(admit_after_));
  candidates_.seen(candidate) = now_;
  if (count < static_cast<float>(admit_after_)) return false;
  if (has_room) promoted_.push_back(candidate);
  return true;
}

void EmbeddingTable::initialise(std::uint64_t key, float* values) const {
  const int D = shape_.dimension;
  const std::span<float> weights(values, static_cast<std::size_t>(D));
  if (shape_.zero) {
    std::fill(weights.begin(), weights.end(), 0.0F);
  } else {
    fill_normal(shape_.seed, key, kInitialDeviation, weights);
  }
  std::fill_n(values + D, shape_.state, 0.0F);
}

void EmbeddingTable::keep() {
  for (std::size_t slot = 0; slot < used_.size(); ++slot) {
    if (slot + kAheadToKeep < used_.size()) rows_.prefetch_header(used_[slot + kAheadToKeep].row);
    const Used& used = used_[slot];
    rows_.seen(used.row) = slot < looked_up_ ? now_ : used.seen_before;
    if (slot < looked_up_) rows_.touch(used.row);
  }
  for (const CandidateBefore& counted : counted_) candidates_.touch(counted.row);
  for (const KeyedRows::Row candidate : promoted_) candidates_.erase(candidate);
  if (bloom_) bloom_->keep();
  used_.clear();
}

void EmbeddingTable::undo() {
  for (const Used& used : used_) rows_.seen(used.row) = used.seen_before;
  for (auto row = inserted_.rbegin(); row != inserted_.rend(); ++row) rows_.forget(*row);
  for (auto before = counted_.rbegin(); before != counted_.rend(); ++before) {
    if (before->is_new) {
      candidates_.forget(before->row);
    } else {
      *candidates_.values(before->row) = before->count;
      candidates_.seen(before->row) = before->seen;
    }
  }
  if (bloom_) bloom_->undo();
  counters_ = counters_before_;
  used_.clear();
}

bool EmbeddingTable::is_bounded(bool everything, float largest) const {
  return rows_.unpublished_hold(everything, [&](KeyedRows::Row row) {
    const float* values = rows_.values(row);
    bool bounded = true;
    for (int d = 0; d < shape_.dimension; ++d) bounded &= std::abs(values[d]) <= largest;
    return bounded;  // a NaN is within no bound
  });
}

void EmbeddingTable::publish(bool everything, std::vector<std::uint64_t>& keys,
                             std::vector<float>& weights, std::vector<std::uint64_t>& erased) {
  const auto D = static_cast<std::size_t>(shape_.dimension);
  if (everything) {
    keys.reserve(rows_.size());
    weights.reserve(rows_.size() * D);
  }
  erased = rows_.take_unpublished(everything, [&](KeyedRows::Row row) {
    keys.push_back(rows_.key(row));
    const float* values = rows_.values(row);
    weights.insert(weights.end(), values, values + D);
  });
  if (everything) erased.clear();
}

void EmbeddingTable::skip_publication() {
  rows_.take_unpublished(false, [](KeyedRows::Row) {});
}

void EmbeddingTable::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                          StateChanges& changes) {
  rows_.save(rows_set_, sequence, cleanings, changes);
  if (bloom_) {
    bloom_->save(counters_set_, sequence, cleanings, changes);
  } else {
    candidates_.save(candidates_set_, sequence, cleanings, changes);
  }
}

bool EmbeddingTable::restore(std::string_view set, std::uint64_t sequence, std::string_view bytes) {
  if (set == rows_set_) {
    rows_.restore(sequence, bytes);
  } else if (set == candidates_set_ && !bloom_) {
    candidates_.restore(sequence, bytes);
  } else if (set == counters_set_ && bloom_) {
    bloom_->restore(sequence, bytes);
  } else {
    return false;
  }
  return true;
}

}  // namespace millrace
