#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// One record of the contract's shop, and where it belongs.
struct ShopRecord {
  std::string topic;  ///< impressions, clicks, conversions, dwell, likes
  std::string type;   ///< its name under `events:`
  std::string key;    ///< the impression's id
  std::string json;   ///< carries `type`, so that it can stand in a file
  std::int64_t time = 0;
};

struct ShopOptions {
  int impressions = 1000;
  std::uint64_t seed = 1;
  std::int64_t start = 1'764'000'000'000;
  double milliseconds_per_impression = 5;
  int users = 200, items = 100;
  /// Outcomes come within this of their impression, so they fit short windows.
  std::int64_t longest_delay = 4'000;
  double duplicates = 0;     ///< Share of records that come again, byte for byte.
  double garbage = 0;        ///< Share of records that are no events, beside the others.
  std::int64_t shuffle = 0;  ///< Records are put in the order of time + a random part of this.
};

/// Events of simulated users with a signal to learn, in the order in which they are written;
/// a function of the options alone.
std::vector<ShopRecord> shop_events_of(const ShopOptions& options);

/// The partition of `partitions` that a key goes to; the same for all topics.
int partition_of(const std::string& key, int partitions);

}  // namespace millrace
