#include "ingest/encode/sampling.h"

#include <algorithm>
#include <cmath>

#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "learner/math/running_mean.h"

namespace millrace {
namespace {

// What a random number is for: each its own stream of Philox.
enum Purpose : std::uint64_t { kNegatives = 0x6E65676174697665, kShedding = 0x7368656464696E67 };

constexpr double kLength = 100'000;  // of the share of 1s

std::uint64_t identity_of(const JoinedRow& row) {
  if (!row.impression_id.empty()) return hash_bytes(row.impression_id);
  return mix_bits(hash_bytes(row.features) ^ static_cast<std::uint64_t>(row.time.ms));
}

}  // namespace

Sampling::Sampling(const Schema& schema, const TrainOptions& options)
    : rate_(options.negative_sampling.rate),
      ratio_(options.negative_sampling.ratio),
      shed_(options.shed),
      weighs_(options.negative_sampling.correct == SamplingCorrection::kWeight),
      seed_(static_cast<std::uint64_t>(options.seed)) {
  const int task = schema.find_task(options.negative_sampling.task);
  negatives_of_ = static_cast<std::size_t>(std::max(0, task));
}

// The rate for a negative now, of the labels before this one.
double Sampling::take_label(double label) {
  if (ratio_ == 0 || std::isnan(label)) return rate_;
  // Half a 1 and half a 0 beside those seen.
  const double share = (positive_ * labels_ + 0.5) / (labels_ + 1);
  positive_ += math::running_share(labels_, 1, kLength) * ((label == 1 ? 1 : 0) - positive_);
  labels_ = std::min(labels_ + 1, kLength);
  return std::min(1.0, ratio_ * share / (1 - share));
}

bool Sampling::keep(JoinedRow& row) {
  const double rate = take_label(row.labels[negatives_of_]);
  if (rate == 1 && shed_ == 1) return true;
  const std::uint64_t identity = identity_of(row);
  const auto kept = [&](Purpose purpose, double probability) {
    return to_unit(philox(seed_, purpose, identity)[0]) < probability;
  };
  const auto drop = [&](Dropped reason) {
    ++dropped_[static_cast<std::size_t>(reason)];
    return false;
  };
  if (shed_ < 1 && !kept(kShedding, shed_)) return drop(Dropped::kShed);
  row.weight /= shed_;
  if (rate == 1 || row.labels[negatives_of_] != 0) return true;
  if (!kept(kNegatives, rate)) return drop(Dropped::kNegativeSampling);
  if (weighs_) {
    row.weight /= rate;
  } else {
    row.measure_weight = row.weight / rate;
  }
  return true;
}

StateChanges Sampling::save(std::uint64_t, std::span<const Cleaning>) {
  ByteWriter writer;
  for (const std::uint64_t count : dropped_) writer.put(count);
  StateChanges changes;
  changes.values.push_back({"dropped", writer.take(), false});
  if (ratio_ > 0) {
    ByteWriter shares;
    shares.put(labels_);
    shares.put(positive_);
    changes.values.push_back({"shares", shares.take()});
  }
  return changes;
}

DroppedRows read_dropped(std::string_view bytes) {
  ByteReader reader(bytes);
  DroppedRows dropped;
  for (std::uint64_t& count : dropped) count = reader.get<std::uint64_t>();
  if (!reader.at_end()) throw StateError("saved value dropped has a wrong size");
  return dropped;
}

void Sampling::restore_value(std::string_view name, std::string_view bytes) {
  if (name == "shares") {
    ByteReader reader(bytes);
    labels_ = reader.get<double>();
    positive_ = reader.get<double>();
    if (!reader.at_end() || !(labels_ >= 0 && positive_ >= 0 && positive_ <= 1)) {
      throw StateError("saved value shares is damaged");
    }
    return;
  }
  if (name != "dropped") {
    throw StateError("sampling has no value \"" + std::string(name) + "\"");
  }
  dropped_ = read_dropped(bytes);
}

void Sampling::restore_block(std::string_view set, std::uint64_t, std::string_view) {
  throw StateError("sampling has no set \"" + std::string(set) + "\"");
}

}  // namespace millrace
