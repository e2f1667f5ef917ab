#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/train/guardrail_options.h"

namespace millrace {

/// Whether too many of the last records are dead letters for the others to be learned from. A
/// function of the records in the order in which they were taken: paused from the moment when
/// `share` of the last `records` were dead letters, until less than half of that share are.
///
/// Memory: one bit a record of the window. Threads: one at a time. State: the participant
/// "dead_letter_watch", its value "recent"; in no digest, because where a dead letter stands among
/// the others depends on the partitions.
class DeadLetterWatch final : public Participant {
 public:
  explicit DeadLetterWatch(const DeadLetterGuardOptions& options);

  /// One record was taken.
  void take(bool dead);
  bool paused() const { return paused_; }

  std::string participant_name() const override { return "dead_letter_watch"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override {}

 private:
  const DeadLetterGuardOptions options_;
  std::vector<std::uint8_t> recent_;  // a ring of `records` bits, eight to a byte
  std::uint64_t taken_ = 0;           // since the ring began; the next bit is taken_ % records
  std::uint64_t dead_ = 0;            // of the ring
  bool paused_ = false;
  bool changed_ = false;
};

}  // namespace millrace
