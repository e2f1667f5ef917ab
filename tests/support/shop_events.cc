#include "tests/support/shop_events.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "learner/base/hash.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

// The next uniform numbers of a seed, one after the other.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  double unit() { return to_unit(philox(seed_, 7, count_++)[0]); }
  int below(int n) { return static_cast<int>(unit() * n); }

 private:
  std::uint64_t seed_, count_ = 0;
};

std::string format(const char* pattern, auto... values) {
  std::array<char, 512> text{};
  const int length = std::snprintf(text.data(), text.size(), pattern, values...);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::string impression_json(const std::string& id, long long time, int user, int item, Dice& dice) {
  static constexpr std::array kCountries{"DE", "FR", "US"};
  static constexpr std::array kGenres{"drama", "crime", "comedy", "war"};
  return format(
      R"({"type":"impression","impression_id":"%s","time":%lld,"user":"u%d","features":{)"
      R"("user_id":"u%d","country":"%s","item_id":"m%d","genres":["%s","%s"],"price":%.2f,)"
      R"("taste":[%.2f,0,0,0,0,0,0,1]}})",
      id.c_str(), time, user, user, kCountries[static_cast<std::size_t>(user % 3)], item,
      kGenres[static_cast<std::size_t>(item % 4)], kGenres[static_cast<std::size_t>(item / 4 % 4)],
      dice.unit() * 30, dice.unit());
}

std::string garbage_json(const std::string& id, long long time, int kind) {
  switch (kind) {
    case 0:
      return "{\"impression_id\": \"" + id + "\", broken";
    case 1:
      return format(R"({"type":"click","time":%lld})", time);
    case 2:
      return format(R"({"type":"click","impression_id":["%s"],"time":%lld})", id.c_str(), time);
    default:
      return format(R"({"type":"click","impression_id":"%s","time":-5})", id.c_str());
  }
}

}  // namespace

std::vector<ShopRecord> shop_events_of(const ShopOptions& options) {
  Dice dice(options.seed);
  std::vector<ShopRecord> records;
  auto outcome = [&](const std::string& type, const std::string& topic, const std::string& id,
                     std::int64_t time, const std::string& value) {
    records.push_back({topic, type, id,
                       format(R"({"type":"%s","impression_id":"%s","time":%lld%s})", type.c_str(),
                              id.c_str(), static_cast<long long>(time), value.c_str()),
                       time});
  };
  for (int n = 0; n < options.impressions; ++n) {
    const std::int64_t time =
        options.start +
        static_cast<std::int64_t>(std::floor(n * options.milliseconds_per_impression));
    const std::string id = format("i%llu-%d", static_cast<unsigned long long>(options.seed), n);
    const int user = dice.below(options.users), item = dice.below(options.items);
    records.push_back(
        {"impressions", "impression", id, impression_json(id, time, user, item, dice), time});
    auto later = [&] {
      return time + 1 +
             static_cast<std::int64_t>(dice.unit() *
                                       static_cast<double>(options.longest_delay - 1));
    };
    if (dice.unit() < (item % 4 == 0 ? 0.5 : 0.05)) {
      outcome("click", "clicks", id, later(), "");
      outcome("dwell", "dwell", id, later(), format(",\"value\":%.1f", dice.unit() * 100));
      if (dice.unit() < 0.3) outcome("like", "likes", id, later(), "");
      if (dice.unit() < 0.3) outcome("conversion", "conversions", id, later(), ",\"value\":9.5");
    }
    if (dice.unit() < options.garbage) {
      records.push_back({"clicks", "click", id, garbage_json(id, time, dice.below(4)), time});
    }
    if (dice.unit() < options.duplicates) records.push_back(records.back());
  }
  std::vector<std::pair<std::int64_t, std::size_t>> order;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const double late =
        options.shuffle > 0 ? dice.unit() * static_cast<double>(options.shuffle) : 0;
    order.emplace_back(records[i].time + static_cast<std::int64_t>(late), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<ShopRecord> written;
  written.reserve(records.size());
  for (const auto& one : order) written.push_back(std::move(records[one.second]));
  return written;
}

int partition_of(const std::string& key, int partitions) {
  return static_cast<int>(hash_bytes(key) % static_cast<std::uint64_t>(partitions));
}

}  // namespace millrace
