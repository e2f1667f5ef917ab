#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "learner/base/time.h"

namespace millrace {

/// What a simulated shop is like. The defaults give a best possible AUC of clicks near 0.78, of
/// which a model with embeddings learns most within 100,000 impressions.
struct FunnelOptions {
  std::uint64_t seed = 1;
  /// How many are made; the outcomes of the last ones follow them.
  std::int64_t impressions = std::numeric_limits<std::int64_t>::max();
  EventTime start{1'764'000'000'000};  ///< Event time of the first impression, about.
  double rate = 100;                   ///< Impressions a second of event time.
  int users = 3'000;  ///< Drawn by Zipf's law with exponent 0.8: few are seen often.
  int items = 1'000;
  /// Multiplies all delays between an impression and its outcomes; at 1 they fit the windows of
  /// contract/millrace.yaml (click 10m, dwell and like 30m, conversion 24h).
  double delay_scale = 1;
  /// Items come into fashion and go out of it once in this time; the truth drifts by it.
  Duration drift_period{3'600'000};
  double missing_share = 0.02;  ///< Of impressions without price, and without taste.
};

/// The probabilities that the events were drawn with, by the generator's own knowledge: what the
/// best possible model would say.
struct FunnelTruth {
  double ctr = 0;    ///< P(click | impression)
  double cvr = 0;    ///< P(conversion | click)
  double like = 0;   ///< P(like | click)
  double dwell = 0;  ///< The median of the seconds, given a click.
};

/// What becomes of an impression in the end.
struct FunnelLabels {
  bool click = false, conversion = false, like = false;
  double dwell = 0;  ///< Seconds; where there was a click.
};

enum class FunnelEventType { kImpression, kClick, kConversion, kDwell, kLike };
/// The name in the contract: "impression", "click", …
std::string_view to_string(FunnelEventType type);

/// One event. Truth and labels are those of its impression.
struct FunnelEvent {
  FunnelEventType type = FunnelEventType::kImpression;
  EventTime time;
  std::int64_t impression = 0;  ///< Its number, from 0.
  std::string impression_id;    ///< "i<seed>-<number>"; the record's key in Kafka.
  std::string json;             ///< The record as the contract has it, with its type; no line end.
  FunnelTruth truth;
  FunnelLabels labels;
};

/// A stream of impressions, clicks, conversions, dwell times and likes of a simulated shop, in the
/// order of their times.
///
/// A user u of country c sees an item i with style q_i (its feature `taste`), genres G_i and price
/// p. With taste match m = ⟨w_u, q_i⟩, where w_u is the user's own taste around that of c:
///   logit ctr  = −2.8 + 0.5 a_u + 0.7 (quality_i + fashion_i(t)) + 0.6 mean_{g∈G_i} A[c,g]
///                + 0.7 m − 0.4 s_c (log p − 2.7)
///   logit cvr  = −1.9 + 0.5 quality_i + 0.5 m − 0.9 (log p − 2.7) + 0.4 b_u
///   logit like = −1.2 + 0.3 quality_i + 1.1 m
///   log dwell  ~ N(3 + 0.4 m + 0.3 quality_i, 0.6²), at most 20 minutes
/// with normal a_u, b_u, quality_i and A. All are functions of seed and number by Philox, so equal
/// options give equal bytes, and the first n impressions do not depend on how many follow.
///
/// Memory: the tables of users and items, and the outcomes that are still to come. Threads: one.
class Funnel {
 public:
  /// Requires: rate, users, items and drift_period are positive, delay_scale is not negative,
  /// missing_share is in [0,1].
  explicit Funnel(const FunnelOptions& options);
  ~Funnel();

  /// The next event, overwriting `event`. False at the end.
  bool next(FunnelEvent& event);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
