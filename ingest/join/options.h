#pragma once

#include "learner/base/fields.h"

namespace millrace {

enum class LatePolicy { kDrop, kAccept };
template <>
struct Choices<LatePolicy> {
  static constexpr std::array<Choice<LatePolicy>, 2> all{
      {{"drop", LatePolicy::kDrop}, {"accept", LatePolicy::kAccept}}};
};

/// The `join:` section of the configuration.
struct JoinOptions {
  Duration allowed_lateness{30'000};
  LatePolicy late = LatePolicy::kDrop;
  Duration idle_after{5'000};
  std::optional<Duration> quiet_after = Duration{10'000};
  Duration live_within{600'000};
  Duration max_skew{10'000};
  ByteSize memory{256LL << 20};
  int history = 20'000;

  static constexpr auto fields() {
    using J = JoinOptions;
    return std::tuple{
        field("allowed_lateness", &J::allowed_lateness,
              "How far event time may run backwards before an event counts as late.", Duration{0}),
        field("late", &J::late, "What happens to a late impression."),
        field("idle_after", &J::idle_after,
              "How long `run` waits for a partition that is behind but delivers nothing.",
              Duration{1}),
        field("quiet_after", &J::quiet_after,
              "With all partitions at their ends this long, time goes on by the clock; off: never.",
              Duration{1}),
        field("live_within", &J::live_within,
              "Time goes on by the clock only where the newest event was not older than this.",
              Duration{0}),
        field("max_skew", &J::max_skew,
              "An event stamped further ahead of the clock than this is a dead letter.",
              Duration{0}),
        field("memory", &J::memory,
              "Waiting impressions and their index held in memory; the rest lies in the store.",
              ByteSize{16 << 10}),
        field("history", &J::history,
              "Refused events, and decided rows, that /v1/join remembers since the start.", 0,
              10'000'000),
    };
  }
};
static_assert(std::tuple_size_v<decltype(JoinOptions::fields())> == member_count<JoinOptions>());

}  // namespace millrace
