#pragma once

#include <optional>
#include <string>
#include <vector>

#include "learner/base/fields.h"
#include "learner/data/schema.h"

namespace millrace {

/// One entry of `train.delayed_feedback`: written as the policy alone, or as a mapping.
struct FeedbackSetting {
  FeedbackPolicy policy = FeedbackPolicy::kWait;
  /// Of es_dfm, defer, defuse and dfm; nothing: 15m, or half the label's window where that is no
  /// longer.
  std::optional<Duration> short_wait;
};

inline std::string print_value(const FeedbackSetting& setting) {
  const std::string policy(choice_name(setting.policy));
  if (!setting.short_wait) return policy;
  return "{policy: " + policy + ", short_wait: " + print_duration(*setting.short_wait) + "}";
}

/// `train.feedback`: what es_dfm, defer, defuse, dfm and the measuring of labels trained early
/// need.
struct FeedbackOptions {
  std::vector<int> layers{32};
  double rate = 0.003;
  Duration forget_after{30LL * 86'400'000};

  static auto fields() {
    using F = FeedbackOptions;
    return std::tuple{
        field("layers", &F::layers,
              "Hidden layers of the small nets that estimate, for es_dfm, defer and defuse, which "
              "labels still change, and for dfm how fast a 1 comes."),
        field("rate", &F::rate, "Their learning rate (Adam).", 0.0, 10.0),
        field("forget_after", &F::forget_after,
              "A first score whose label never came is dropped after this much event time.",
              Duration{1000}, Duration{3650LL * 86'400'000})};
  }
};

}  // namespace millrace
