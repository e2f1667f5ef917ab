#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/fields.h"
#include "learner/base/time.h"

namespace millrace {

/// How delays are spread about their mean.
enum class DelayShape { kExponential, kLogNormal };
template <>
struct Choices<DelayShape> {
  static constexpr std::array<Choice<DelayShape>, 2> all{
      {{"exponential", DelayShape::kExponential}, {"log_normal", DelayShape::kLogNormal}}};
};

struct FunnelOptions {
  std::uint64_t seed = 1;
  EventTime start{1'764'000'000'000};
  double impressions_per_second = 100;
  int users = 20'000;
  int items = 2'000;
  /// Mean delay of a click; none takes over 25 times as long. Dwell and like follow the click
  /// within 30 times this. The default fits the contract's windows, as does the next one.
  Duration click_delay{20'000};
  /// Mean delay of a conversion after its click; none takes over 11 times as long.
  Duration conversion_delay{7'200'000};
  /// Of all delays. Log-normal: σ = 1, so that the half comes within 0.6 of the mean and a few
  /// very late.
  DelayShape delay_shape = DelayShape::kExponential;
  /// How fast the items' quality drifts: a full turn in this much event time.
  Duration drift{6 * 3'600'000};
  /// The mean of logit P(click), about; and of logit P(conversion | click).
  double click_logit = -2.6, conversion_logit = -1.2;
  /// How far what a genre is worth swings in logit P(conversion | click), each genre at its own
  /// phase; and how long a full turn takes.
  double conversion_swing = 0;
  Duration conversion_turn{18 * 3'600'000};
  /// From so long after the start the base rates are others: what is added to logit P(click), and
  /// to logit P(conversion | click).
  std::optional<Duration> shift_after = {};
  double click_shift = 0, conversion_shift = 0;
  /// This share of the outcomes happens and is never heard of.
  double missing = 0;
};

/// What the simulator knows of one impression, and a model can only guess.
struct FunnelTruth {
  double ctr = 0;                                          ///< P(click)
  double cvr = 0;                                          ///< P(conversion | click)
  double like = 0;                                         ///< P(like | click)
  bool clicked = false, converted = false, liked = false;  ///< Also where that goes missing.
};

/// One record of the contract's shop.
struct FunnelEvent {
  std::string_view type;  ///< impression, click, conversion, dwell, like
  std::string impression_id;
  EventTime time;
  std::string json;                  ///< With `type`, so that it can stand in a file.
  std::optional<FunnelTruth> truth;  ///< Of an impression.
};

/// Simulated users of a shop: impression → click → conversion, dwell and like, with known
/// probabilities (algorithms: generator (b)). Users and items have tastes; popular ids are common
/// and most are rare (P ∝ 1/rank); quality drifts; some features are missing; outcomes come late.
///
///   logit P(click) = −2.6 + 1.1 match(user, item) + quality(item, time) + affinity(country, genre)
///                    − 0.08 log1p(price)
///   logit P(conversion | click) = −1.2 + 0.8 match − 0.5 (log1p(price) − 2) + swing(genre, time)
/// and from `shift_after` on the shifts are added; match, the inner product of the user's taste and
/// the item's character, is about N(0, 1). An endless stream in the order of event time, a function
/// of the options alone: every number is Philox of (seed, what it is for, the impression's number).
/// Memory: outcomes still to come. Threads: one at a time.
class Funnel {
 public:
  explicit Funnel(const FunnelOptions& options);

  /// The next event.
  FunnelEvent next();
  /// The time of the next impression: what comes before it can be taken without making one.
  EventTime next_impression() const;
  std::uint64_t impressions() const { return count_; }
  /// Makes no further impressions: `next` gives the outcomes that are still to come.
  void stop() { stopped_ = true; }
  /// Whether `stop` was called and nothing is left.
  bool finished() const { return stopped_ && pending_.empty(); }

 private:
  static constexpr int kTastes = 8;
  using Taste = std::array<double, kTastes>;
  struct Pending {
    EventTime time;
    std::uint64_t order;
    std::string_view type;
    std::uint64_t impression;
    double value;
    bool operator>(const Pending& other) const {
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  Taste taste(std::uint64_t stream, std::uint64_t index) const;
  double uniform(std::uint64_t stream, std::uint64_t index) const;
  double swing(std::size_t genre, EventTime time) const;
  FunnelEvent impression();
  FunnelEvent outcome(const Pending& pending) const;
  void plan(std::uint64_t number, EventTime time, const FunnelTruth& truth, double match);
  void push(EventTime time, std::string_view type, std::uint64_t number, double value);
  std::string id_of(std::uint64_t number) const;

  bool has_shifted(EventTime time) const;
  Duration delay(std::uint32_t bits, std::uint64_t number, std::uint64_t of, Duration mean,
                 double factor, double most) const;

  const FunnelOptions options_;
  std::uint64_t count_ = 0, order_ = 0;
  bool stopped_ = false;
  std::priority_queue<Pending, std::vector<Pending>, std::greater<>> pending_;
};

}  // namespace millrace
