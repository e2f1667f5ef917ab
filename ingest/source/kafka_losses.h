#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/kafka_positions.h"

namespace millrace {

/// Why records were not read.
enum class LossReason : std::uint8_t {
  kRetention,  ///< The broker deleted them before they were read.
  kMadeAnew,   ///< The topic was deleted and created again, or has fewer partitions now.
  kCut,        ///< The log lost its end, and may have grown again.
};
inline constexpr std::array<std::string_view, 3> kLossReasonNames{"retention", "made_anew", "cut"};

/// Offsets of one partition that were skipped by `kafka.on_lost: skip`.
struct LostRange {
  PartitionKey key;
  std::int64_t first = 0;
  std::optional<std::int64_t> end;  ///< Behind the last one; nothing where nobody knows it.
  LossReason reason = LossReason::kRetention;

  /// 0 where nobody knows.
  std::uint64_t offsets() const {
    return end && *end > first ? static_cast<std::uint64_t>(*end - first) : 0;
  }
  bool operator==(const LostRange&) const = default;
};

/// "offsets 50 to 69 (20 are lost)", "offsets from 50 on".
std::string print_range(const LostRange& range);

/// All that a store has skipped. Memory: the last 100 ranges, and counts of all by reason.
class KafkaLosses {
 public:
  static constexpr std::size_t kMostRanges = 100;

  void add(const LostRange& range);
  struct Count {
    std::uint64_t ranges = 0;
    std::uint64_t offsets = 0;  ///< Of the ranges whose end is known.
  };
  using Counts = std::array<Count, kLossReasonNames.size()>;

  const Counts& counts() const { return counts_; }
  bool is_empty() const { return last_.empty(); }
  const std::vector<LostRange>& last() const { return last_; }

  /// By reason ranges (u64) and offsets (u64); count (u32), then for each of the last: topic
  /// (text), partition (i32), first (i64), end (i64, −1: not known), reason (u8).
  std::string save() const;
  /// Throws StateError on damage.
  void restore(std::string_view bytes);

 private:
  Counts counts_{};
  std::vector<LostRange> last_;
};

}  // namespace millrace
