#include "learner/synthetic/funnel.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>
#include <queue>
#include <tuple>
#include <vector>

#include "learner/base/check.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr int kStyle = 8;
constexpr std::array<std::string_view, 8> kCountries{"DE", "FR", "US", "CN",
                                                     "BR", "IN", "GB", "JP"};
constexpr std::array<std::string_view, 10> kGenres{"drama", "crime", "comedy", "war",    "noir",
                                                   "kids",  "doc",   "music",  "horror", "scifi"};
constexpr std::array<std::string_view, 5> kTypeNames{"impression", "click", "conversion", "dwell",
                                                     "like"};
constexpr double kMiddleLogPrice = 2.7;

// Streams of random numbers: what is drawn for whom.
enum Stream : std::uint64_t { kUserStream, kItemStream, kCountryStream, kImpressionStream };

using Style = std::array<double, kStyle>;

// The random numbers of one user, item or impression, one after another.
class Draws {
 public:
  Draws(std::uint64_t seed, Stream stream, std::uint64_t number)
      : seed_(seed), stream_(stream | number << 3) {}

  double unit() { return to_unit(bits()); }
  double normal() {
    const std::uint32_t a = bits(), b = bits();
    return to_normal(a, b)[0];
  }
  double exponential(double mean) { return -mean * std::log(unit()); }
  int below(int count) { return std::min(static_cast<int>(unit() * count), count - 1); }
  Style style() {
    Style style;
    for (double& s : style) s = normal() / std::sqrt(double{kStyle});
    return style;
  }

 private:
  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox(seed_, stream_, counter_++);
      used_ = 0;
    }
    return block_[used_++];
  }

  const std::uint64_t seed_, stream_;
  std::uint64_t counter_ = 0;
  std::array<std::uint32_t, 4> block_{};
  std::size_t used_ = 4;
};

// Numbers 0 … count − 1, each with a probability in proportion to (number + 1)^−exponent.
class Zipf {
 public:
  Zipf(int count, double exponent) {
    double sum = 0;
    for (int i = 1; i <= count; ++i) cumulated_.push_back(sum += std::pow(i, -exponent));
  }
  int draw(double unit) const {
    const auto at =
        std::upper_bound(cumulated_.begin(), cumulated_.end(), unit * cumulated_.back());
    return static_cast<int>(std::min(at, cumulated_.end() - 1) - cumulated_.begin());
  }

 private:
  std::vector<double> cumulated_;
};

struct Country {
  Style taste;
  std::array<double, kGenres.size()> affinity;  // to genres
  double thrift;                                // how much a price matters
};

struct User {
  std::size_t country;
  Style taste;
  double activity, wealth;
};

struct Item {
  Style style;
  std::vector<std::size_t> genres;
  double quality, log_price, fashion_phase;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double dot(const Style& a, const Style& b) {
  double sum = 0;
  for (std::size_t i = 0; i < kStyle; ++i) sum += a[i] * b[i];
  return sum;
}

void append(std::string& text, double value, int digits) {
  std::array<char, 64> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, digits)
                       .ptr;
  text.append(buffer.data(), end);
}

double rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(value * scale) / scale;
}

// An outcome that is still to come.
struct Pending {
  EventTime time;
  std::int64_t impression;
  FunnelEventType type;
  FunnelTruth truth;
  FunnelLabels labels;

  friend bool operator>(const Pending& a, const Pending& b) {
    return std::tie(a.time, a.impression, a.type) > std::tie(b.time, b.impression, b.type);
  }
};

}  // namespace

std::string_view to_string(FunnelEventType type) {
  return kTypeNames[static_cast<std::size_t>(type)];
}

struct Funnel::Parts {
  explicit Parts(const FunnelOptions& o)
      : options(o), user_rank(o.users, 0.8), item_rank(o.items, 0.8) {
    make_people();
    make_items();
  }

  void make_people();
  void make_items();
  bool next(FunnelEvent& event);
  void show(FunnelEvent& event);
  FunnelTruth truth(const User& user, const Item& item, double log_price, EventTime time) const;
  void act(FunnelEvent& event, Draws& draws);
  void tell(const Pending& outcome, FunnelEvent& event) const;
  std::string id_of(std::int64_t impression) const {
    return "i" + std::to_string(options.seed) + "-" + std::to_string(impression);
  }

  const FunnelOptions options;
  const Zipf user_rank, item_rank;
  std::vector<Country> countries;
  std::vector<User> users;
  std::vector<Item> items;
  std::int64_t shown = 0;
  std::priority_queue<Pending, std::vector<Pending>, std::greater<>> pending;
};

void Funnel::Parts::make_people() {
  for (std::size_t c = 0; c < kCountries.size(); ++c) {
    Draws draws(options.seed, kCountryStream, c);
    Country& country = countries.emplace_back();
    country.taste = draws.style();
    for (double& affinity : country.affinity) affinity = draws.normal();
    country.thrift = std::exp(0.5 * draws.normal());
  }
  const Zipf country_rank(static_cast<int>(kCountries.size()), 0.7);
  for (int u = 0; u < options.users; ++u) {
    Draws draws(options.seed, kUserStream, static_cast<std::uint64_t>(u));
    User& user = users.emplace_back();
    user.country = static_cast<std::size_t>(country_rank.draw(draws.unit()));
    user.activity = draws.normal();
    user.wealth = draws.normal();
    user.taste = draws.style();
    const Style& around = countries[user.country].taste;
    // Of the length √8, so that the match with a style of length 1 varies by about 1.
    for (std::size_t i = 0; i < kStyle; ++i) {
      user.taste[i] = std::sqrt(double{kStyle}) * (0.8 * around[i] + 0.6 * user.taste[i]);
    }
  }
}

void Funnel::Parts::make_items() {
  for (int i = 0; i < options.items; ++i) {
    Draws draws(options.seed, kItemStream, static_cast<std::uint64_t>(i));
    Item& item = items.emplace_back();
    item.style = draws.style();
    for (double& s : item.style) s = rounded(s, 3);  // as it is written
    const int genres = 1 + draws.below(3);
    while (static_cast<int>(item.genres.size()) < genres) {
      const auto genre = static_cast<std::size_t>(draws.below(static_cast<int>(kGenres.size())));
      if (std::find(item.genres.begin(), item.genres.end(), genre) == item.genres.end()) {
        item.genres.push_back(genre);
      }
    }
    item.quality = draws.normal();
    item.log_price = kMiddleLogPrice + 0.8 * draws.normal();
    item.fashion_phase = 2 * std::numbers::pi * draws.unit();
  }
}

bool Funnel::Parts::next(FunnelEvent& event) {
  const bool more = shown < options.impressions;
  if (more) {
    Draws first(options.seed, kImpressionStream, static_cast<std::uint64_t>(shown));
    const double seconds = (static_cast<double>(shown) + first.unit()) / options.rate;
    event.time = options.start + Duration{static_cast<std::int64_t>(seconds * 1000)};
  }
  if (!pending.empty() && (!more || pending.top().time <= event.time)) {
    const Pending outcome = pending.top();
    pending.pop();
    tell(outcome, event);
    return true;
  }
  if (more) show(event);
  return more;
}

// Makes the next impression, whose time is set, and what will follow from it.
void Funnel::Parts::show(FunnelEvent& event) {
  Draws draws(options.seed, kImpressionStream, static_cast<std::uint64_t>(shown));
  draws.unit();  // the time's
  const int u = user_rank.draw(draws.unit()), i = item_rank.draw(draws.unit());
  const User& user = users[static_cast<std::size_t>(u)];
  const Item& item = items[static_cast<std::size_t>(i)];
  const double price = std::max(0.01, rounded(std::exp(item.log_price + 0.1 * draws.normal()), 2));
  const bool has_price = draws.unit() >= options.missing_share;
  const bool has_taste = draws.unit() >= options.missing_share;

  event.type = FunnelEventType::kImpression;
  event.impression = shown++;
  event.impression_id = id_of(event.impression);
  event.truth = truth(user, item, std::log(price), event.time);

  std::string& json = event.json;
  const std::string name = "\"u" + std::to_string(u) + "\"";
  json = R"({"type":"impression","impression_id":")" + event.impression_id + R"(","time":)" +
         std::to_string(event.time.ms) + R"(,"user":)" + name + R"(,"features":{"user_id":)" +
         name + R"(,"country":")";
  json.append(kCountries[user.country]).append(R"(","item_id":"m)");
  json.append(std::to_string(i)).append(R"(","genres":[)");
  for (const std::size_t genre : item.genres) {
    if (json.back() != '[') json += ',';
    json.append("\"").append(kGenres[genre]).append("\"");
  }
  json += ']';
  if (has_price) append(json.append(R"(,"price":)"), price, 2);
  if (has_taste) {
    json += R"(,"taste":[)";
    for (const double s : item.style) {
      if (json.back() != '[') json += ',';
      append(json, s, 3);
    }
    json += ']';
  }
  json += "}}";
  act(event, draws);
}

// Decides what the user does, and when.
void Funnel::Parts::act(FunnelEvent& event, Draws& draws) {
  const FunnelTruth& truth = event.truth;
  FunnelLabels& labels = event.labels = {};
  labels.click = draws.unit() < truth.ctr;
  if (!labels.click) return;
  labels.conversion = draws.unit() < truth.cvr;
  labels.like = draws.unit() < truth.like;
  // Rounded as it is written.
  labels.dwell = rounded(std::min(1200.0, truth.dwell * std::exp(0.6 * draws.normal())), 1);

  const auto follow = [&](FunnelEventType type, double seconds) {
    const double ms = std::max(1.0, 1000 * options.delay_scale * seconds);
    pending.push({event.time + Duration{static_cast<std::int64_t>(ms)}, event.impression, type,
                  truth, labels});
  };
  const double click = std::min(540.0, 1 + draws.exponential(12));
  const double like = click + std::min(600.0, 2 + draws.exponential(30));
  const double conversion = click + std::min(72'000.0, 20 + draws.exponential(1'800));
  follow(FunnelEventType::kClick, click);
  follow(FunnelEventType::kDwell, click + labels.dwell);
  if (labels.like) follow(FunnelEventType::kLike, like);
  if (labels.conversion) follow(FunnelEventType::kConversion, conversion);
}

FunnelTruth Funnel::Parts::truth(const User& user, const Item& item, double log_price,
                                 EventTime time) const {
  const Country& country = countries[user.country];
  const double match = dot(user.taste, item.style);
  double affinity = 0;
  for (const std::size_t genre : item.genres) affinity += country.affinity[genre];
  affinity /= static_cast<double>(item.genres.size());
  const double turns = static_cast<double>((time - options.start).count()) /
                       static_cast<double>(options.drift_period.count());
  const double fashion = 0.5 * std::sin(2 * std::numbers::pi * turns + item.fashion_phase);
  const double dear = log_price - kMiddleLogPrice;

  FunnelTruth truth;
  truth.ctr = sigmoid(-2.8 + 0.5 * user.activity + 0.7 * (item.quality + fashion) + 0.6 * affinity +
                      0.7 * match - 0.4 * country.thrift * dear);
  truth.cvr = sigmoid(-1.9 + 0.5 * item.quality + 0.5 * match - 0.9 * dear + 0.4 * user.wealth);
  truth.like = sigmoid(-1.2 + 0.3 * item.quality + 1.1 * match);
  truth.dwell = std::min(1200.0, std::exp(3 + 0.4 * match + 0.3 * item.quality));
  return truth;
}

void Funnel::Parts::tell(const Pending& outcome, FunnelEvent& event) const {
  event.type = outcome.type;
  event.time = outcome.time;
  event.impression = outcome.impression;
  event.impression_id = id_of(outcome.impression);
  event.truth = outcome.truth;
  event.labels = outcome.labels;
  event.json = R"({"type":")";
  event.json.append(to_string(outcome.type)).append(R"(","impression_id":")");
  event.json.append(event.impression_id).append(R"(","time":)");
  event.json.append(std::to_string(outcome.time.ms));
  if (outcome.type == FunnelEventType::kDwell) {
    append(event.json.append(R"(,"value":)"), outcome.labels.dwell, 1);
  }
  event.json += '}';
}

Funnel::Funnel(const FunnelOptions& options) {
  MILLRACE_CHECK(options.rate > 0 && options.users > 0 && options.items > 0);
  MILLRACE_CHECK(options.drift_period.count() > 0 && options.delay_scale >= 0);
  MILLRACE_CHECK(0 <= options.missing_share && options.missing_share <= 1);
  parts_ = std::make_unique<Parts>(options);
}

Funnel::~Funnel() = default;

bool Funnel::next(FunnelEvent& event) { return parts_->next(event); }

}  // namespace millrace
