#include "learner/synthetic/funnel.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "learner/base/random.h"

namespace millrace {
namespace {

// What a random number is for: each its own stream of Philox.
enum Stream : std::uint64_t {
  kUserTaste = 100,
  kItemTaste = 120,
  kUser = 140,
  kItem,
  kNoise,
  kMissing,
  kDecide,
  kDelay,
  kQuality,
  kPrice,
  kGenre,
  kAffinity,
  kShape,  // and as many as there are outcomes
  kLost = kShape + 10,
};

constexpr std::array<std::string_view, 8> kGenres{"drama", "crime", "comedy", "war",
                                                  "noir",  "kids",  "doc",    "music"};
constexpr std::array<std::string_view, 6> kCountries{"DE", "FR", "US", "CN", "BR", "IN"};

double logistic(double z) { return 1 / (1 + std::exp(-z)); }

void append_number(std::string& out, double value, int digits) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value,
                                          std::chars_format::fixed, digits);
  out.append(text.data(), end);
}

// P(rank) ∝ 1/rank: most draws fall on few of the `count` ranks.
std::uint64_t popular(double uniform, int count) {
  const double rank = std::exp(uniform * std::log(count + 1.0));
  return std::min<std::uint64_t>(static_cast<std::uint64_t>(rank) - 1,
                                 static_cast<std::uint64_t>(count) - 1);
}

}  // namespace

Funnel::Funnel(const FunnelOptions& options) : options_(options) {}

double Funnel::uniform(std::uint64_t stream, std::uint64_t index) const {
  return to_unit(philox(options_.seed, stream, index)[0]);
}

// A direction of length about 1.
Funnel::Taste Funnel::taste(std::uint64_t stream, std::uint64_t index) const {
  Taste taste;
  for (std::size_t half = 0; half < 2; ++half) {
    const auto bits = philox(options_.seed, stream + half, index);
    for (std::size_t pair = 0; pair < 2; ++pair) {
      const std::size_t at = 2 * pair;
      const auto normal = to_normal(bits[at], bits[at + 1]);
      for (std::size_t i = 0; i < 2; ++i) {
        taste[4 * half + 2 * pair + i] = normal[i] / std::sqrt(double{kTastes});
      }
    }
  }
  return taste;
}

EventTime Funnel::next_impression() const {
  return options_.start + Duration{static_cast<std::int64_t>(static_cast<double>(count_) * 1000 /
                                                             options_.impressions_per_second)};
}

FunnelEvent Funnel::next() {
  if (!pending_.empty() && (stopped_ || pending_.top().time <= next_impression())) {
    const Pending pending = pending_.top();
    pending_.pop();
    return outcome(pending);
  }
  return impression();
}

// What the genre is worth now, beside its mean.
double Funnel::swing(std::size_t genre, EventTime time) const {
  const double turns = static_cast<double>((time - options_.start).count()) /
                           static_cast<double>(options_.conversion_turn.count()) +
                       static_cast<double>(genre) / kGenres.size();
  return options_.conversion_swing * std::sin(2 * std::numbers::pi * turns);
}

std::string Funnel::id_of(std::uint64_t number) const {
  return "f" + std::to_string(options_.seed) + "-" + std::to_string(number);
}

FunnelEvent Funnel::impression() {
  const EventTime time = next_impression();
  const std::uint64_t number = count_++;
  const std::uint64_t user = popular(uniform(kUser, number), options_.users);
  const std::uint64_t item = popular(uniform(kItem, number), options_.items);
  const Taste wish = taste(kUserTaste, user), character = taste(kItemTaste, item);
  double match = 0;
  for (int i = 0; i < kTastes; ++i) {
    match += wish[static_cast<std::size_t>(i)] * character[static_cast<std::size_t>(i)];
  }
  match *= std::sqrt(double{kTastes});  // about N(0, 1)
  const std::size_t country = user % kCountries.size();
  const auto genres = philox(options_.seed, kGenre, item);
  const std::size_t first = genres[0] % kGenres.size(), second = genres[1] % kGenres.size();
  const double affinity = 0.6 * (2 * uniform(kAffinity, country * 64 + first) - 1);
  const double price = 1 + 60 * std::pow(uniform(kPrice, item), 3);
  const double turn =
      2 * std::numbers::pi *
      (uniform(kQuality, item) + static_cast<double>((time - options_.start).count()) /
                                     static_cast<double>(options_.drift.count()));
  const double quality = 0.8 * (2 * uniform(kQuality + 1000, item) - 1) + 0.4 * std::sin(turn);

  FunnelTruth truth;
  const bool shifted = has_shifted(time);
  truth.ctr = logistic(options_.click_logit + (shifted ? options_.click_shift : 0) + 1.1 * match +
                       quality + affinity - 0.08 * std::log1p(price));
  double worth = options_.conversion_logit + 0.8 * match - 0.5 * (std::log1p(price) - 2);
  if (options_.conversion_swing != 0) worth += swing(first, time);
  if (shifted) worth += options_.conversion_shift;
  truth.cvr = logistic(worth);
  truth.like = logistic(-1.5 + 1.2 * match + 0.5 * quality);
  const auto dice = philox(options_.seed, kDecide, number);
  truth.clicked = to_unit(dice[0]) < truth.ctr;
  truth.converted = truth.clicked && to_unit(dice[1]) < truth.cvr;
  truth.liked = truth.clicked && to_unit(dice[2]) < truth.like;
  plan(number, time, truth, match);

  FunnelEvent event{"impression", id_of(number), time, {}, truth};
  std::string& json = event.json;
  json = R"({"type":"impression","impression_id":")" + event.impression_id + R"(","time":)" +
         std::to_string(time.ms) + R"(,"user":"u)" + std::to_string(user) +
         R"(","features":{"user_id":"u)" + std::to_string(user) + R"(","country":")";
  json.append(kCountries[country]).append(R"(","item_id":"m)").append(std::to_string(item));
  json.append(R"(","genres":[")").append(kGenres[first]);
  if (second != first) json.append(R"(",")").append(kGenres[second]);
  json.append(R"("])");
  if (uniform(kMissing, number) > 0.02) {
    json.append(R"(,"price":)");
    append_number(json, price, 2);
  }
  json.append(R"(,"taste":[)");
  for (int i = 0; i < kTastes; ++i) {
    if (i > 0) json += ',';
    append_number(json, wish[static_cast<std::size_t>(i)], 3);
  }
  json.append("]}}");
  return event;
}

bool Funnel::has_shifted(EventTime time) const {
  return options_.shift_after && time >= options_.start + *options_.shift_after;
}

// `factor` times the mean, cut so that it fits a window; `of` counts the impression's outcomes.
Duration Funnel::delay(std::uint32_t bits, std::uint64_t number, std::uint64_t of, Duration mean,
                       double factor, double most) const {
  double times = -std::log(to_unit(bits));
  if (options_.delay_shape == DelayShape::kLogNormal) {
    const auto shape = philox(options_.seed, kShape + of, number);
    times = std::exp(to_normal(shape[0], shape[1])[0] - 0.5);
  }
  times = std::min(factor * times, most);
  return Duration{1 + static_cast<std::int64_t>(times * static_cast<double>(mean.count()))};
}

void Funnel::plan(std::uint64_t number, EventTime time, const FunnelTruth& truth, double match) {
  if (!truth.clicked) return;
  const auto dice = philox(options_.seed, kDelay, number);
  const Duration of_click = options_.click_delay;
  const EventTime click = time + delay(dice[0], number, 0, of_click, 1, 25);
  push(click, "click", number, 0);
  const double dwell_seconds = std::exp(2.5 + 0.6 * match) * -std::log(to_unit(dice[1]));
  push(click + delay(dice[1], number, 1, of_click, 1.5, 30), "dwell", number,
       std::min(dwell_seconds, 600.0));
  if (truth.liked) push(click + delay(dice[2], number, 2, of_click, 2, 30), "like", number, 0);
  if (truth.converted) {
    push(click + delay(dice[3], number, 3, options_.conversion_delay, 1, 11), "conversion", number,
         9.5);
  }
}

void Funnel::push(EventTime time, std::string_view type, std::uint64_t number, double value) {
  const std::uint64_t order = order_++;
  if (options_.missing > 0 && uniform(kLost, order) < options_.missing) return;
  pending_.push({time, order, type, number, value});
}

FunnelEvent Funnel::outcome(const Pending& pending) const {
  FunnelEvent event{pending.type, id_of(pending.impression), pending.time, {}, {}};
  event.json = R"({"type":")" + std::string(pending.type) + R"(","impression_id":")" +
               event.impression_id + R"(","time":)" + std::to_string(pending.time.ms);
  if (pending.value > 0) {
    event.json.append(R"(,"value":)");
    append_number(event.json, pending.value, 1);
  }
  event.json += '}';
  return event;
}

}  // namespace millrace
