#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "learner/data/batch.h"
#include "learner/train/trainer.h"

// A small model with every kind of feature and task, and a stream of batches for it.
namespace millrace::stream {

inline constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

inline Feature keys(std::string name, int dimension, std::string table = {}) {
  Feature feature;
  feature.name = std::move(name);
  feature.dimension = dimension;
  feature.table = std::move(table);
  return feature;
}

/// user, item, seen (a bag that shares item's table), price (standardised), taste (dense).
inline std::vector<Feature> features() {
  Feature seen = keys("seen", 4, "item");
  seen.kind = FeatureKind::kBag;
  Feature price;
  price.name = "price";
  price.kind = FeatureKind::kNumeric;
  Feature taste;
  taste.name = "taste";
  taste.kind = FeatureKind::kDense;
  taste.width = 2;
  return {keys("user", 3), keys("item", 4), seen, price, taste};
}

enum TaskIndex { kClick, kCart, kBuy, kDwell, kLike, kTasks };

/// click → cart → buy over the entire space; dwell (regression) and like on clicked rows.
inline std::vector<Task> tasks(FeedbackPolicy click_policy = FeedbackPolicy::kWait) {
  std::vector<Task> tasks(kTasks);
  tasks[kClick].name = "click";
  tasks[kClick].policy = click_policy;
  tasks[kCart].name = "cart";
  tasks[kCart].given = kClick;
  tasks[kCart].entire_space = true;
  tasks[kBuy].name = "buy";
  tasks[kBuy].given = kCart;
  tasks[kBuy].entire_space = true;
  tasks[kDwell].name = "dwell";
  tasks[kDwell].kind = TaskKind::kRegression;
  tasks[kDwell].transform = Transform::kLog1p;
  tasks[kDwell].given = kClick;
  tasks[kLike].name = "like";
  tasks[kLike].given = kClick;
  return tasks;
}

inline LearnerOptions options(int batch = 32) {
  LearnerOptions options;
  options.train.batch = batch;
  options.model.experts = 2;
  options.model.expert_layers = {12, 8};
  options.model.tower_layers = {6};
  return options;
}

/// Draws rows whose labels follow from their features. Deterministic in the seed.
class Source {
 public:
  /// Borrows `schema`.
  Source(const Schema& schema, std::uint64_t seed) : schema_(schema), random_(seed) {}
  Source(Schema&&, std::uint64_t) = delete;

  /// `missing`: how often a known label is left out.
  Batch next(int rows, Stream stream = Stream::kMatured, double missing = 0.1) {
    Batch batch = empty_batch(schema_, stream);
    for (int r = 0; r < rows; ++r) add_row(batch, missing);
    batch.rows = rows;
    if (schema_.has_immediate()) say_origins(batch);
    time_ += 250;
    batch.due = {time_};
    batch.seen = {time_ + 30'000};
    return batch;
  }

 private:
  // Labels of tasks under an immediate policy are not final in rows at once.
  void say_origins(Batch& batch) const {
    const std::size_t T = schema_.tasks().size();
    batch.origin.assign(batch.labels.size(), Origin::kFinal);
    batch.targets.assign(batch.labels.size(), 0);
    batch.keys.assign(static_cast<std::size_t>(batch.rows), 0);
    if (schema_.has_delays()) {
      batch.since.assign(batch.labels.size(), 0);
      batch.until.assign(batch.labels.size(), kMissing);
    }
    for (std::size_t cell = 0; cell < batch.labels.size(); ++cell) {
      const bool early = schema_.tasks()[cell % T].policy != FeedbackPolicy::kWait;
      if (batch.stream != Stream::kAtOnce || !early) continue;
      if (schema_.tasks()[cell % T].policy == FeedbackPolicy::kDfm) {
        batch.until[cell] = static_cast<float>(1000 * (1 + cell % 97));
      }
      batch.origin[cell] = batch.labels[cell] > 0.5F ? Origin::kLater : Origin::kFirst;
    }
  }

  double unit() { return std::uniform_real_distribution<double>()(random_); }
  void add_row(Batch& batch, double missing) {
    // A few users come once in a while.
    const std::uint64_t user = random_() % (random_() % 30 == 0 ? 400 : 40), item = random_() % 30;
    batch.columns[0].keys.push_back(user);
    batch.columns[1].keys.push_back(item);
    for (std::uint64_t i = random_() % 4; i > 0; --i) {
      batch.columns[2].keys.push_back(1 + random_() % 29);
    }
    batch.columns[2].ends.push_back(static_cast<std::uint32_t>(batch.columns[2].keys.size()));
    const double price = unit() * 10;
    batch.numeric.push_back(unit() < 0.1 ? kMissing : static_cast<float>(price));
    for (int d = 0; d < 2; ++d) batch.dense.push_back(static_cast<float>(unit() - 0.5));
    const double signal = std::sin(static_cast<double>(user)) + std::cos(static_cast<double>(item));
    const bool click = unit() < 1 / (1 + std::exp(-signal)), cart = click && unit() < 0.5;
    const bool buy = cart && unit() < 0.5, like = unit() < 0.3;
    const float dwell = static_cast<float>(std::log1p(30 * unit() + price));
    const auto label = [&](float value) { return unit() < missing ? kMissing : value; };
    batch.labels.push_back(label(click));
    batch.labels.push_back(label(cart));
    batch.labels.push_back(label(buy));
    batch.labels.push_back(click ? label(dwell) : kMissing);
    batch.labels.push_back(click ? label(like) : kMissing);
    for (const bool holds : {true, click, cart, click, click}) batch.condition.push_back(holds);
    batch.weights.push_back(random_() % 5 == 0 ? 2.5F : 1.0F);
  }

  const Schema& schema_;
  std::mt19937_64 random_;
  std::int64_t time_ = 1'764'000'000'000;
};

}  // namespace millrace::stream
