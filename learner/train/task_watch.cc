#include "learner/train/task_watch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <span>

namespace millrace {
namespace {

constexpr double kLength = 64;         // pieces that the usual loss fades over
constexpr double kMostDeviations = 6;  // what one piece can say
constexpr double kFollowed = 3;        // and what is taken in of it
constexpr double kLeastPositives = 4;  // of a piece
constexpr double kMostPieces = 64;     // a piece ends at so many times its rows at the latest
constexpr double kLeastSpread = 0.02;  // of the usual loss: σ is never taken for less

template <class... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 200> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

}  // namespace

std::string_view to_string(FreezeReason reason) {
  constexpr std::array<std::string_view, kFreezeReasons> kNames{
      "none",   "not_finite", "spike",        "calibration",
      "silent", "unbounded",  "dead_letters", "administrator"};
  return kNames[static_cast<std::size_t>(reason)];
}

std::optional<Finding> TaskWatch::add(double label, double prediction, std::optional<double> loss) {
  if (!std::isfinite(label) || !std::isfinite(prediction)) return {};
  if (loss && !std::isfinite(*loss)) return {};
  if (loss) {
    s_.piece_rows += 1;
    s_.piece_loss += *loss;
    s_.piece_expected += binary_ ? prediction : 0;
    s_.piece_positives += binary_ ? label : 0;
  }
  std::optional<Finding> finding;
  if (binary_) {
    s_.predicted += prediction;
    s_.positives += label;
    s_.spread += prediction * (1 - prediction);
    s_.window_rows += 1;
    s_.silent_rows = label > 0 ? 0 : s_.silent_rows + 1;
    s_.since_positive = label > 0 ? 0 : s_.since_positive + prediction;
    finding = judge_silence();
    const CalibrationOptions& window = options_.calibration;
    if (s_.window_rows >= window.rows && std::max(s_.predicted, s_.positives) >= window.expected) {
      auto found = close_window();
      if (!finding) finding = std::move(found);
    }
  }
  if (!loss) return finding;
  const double rows = options_.spike.rows;
  const bool tells = !binary_ || s_.piece_rows >= kMostPieces * rows ||
                     std::max(s_.piece_expected, s_.piece_positives) >= kLeastPositives;
  if (s_.piece_rows >= rows && tells) {
    auto found = close_piece();
    if (!finding) finding = std::move(found);
  }
  return finding;
}

std::optional<Finding> TaskWatch::judge_silence() {
  const SilentOptions& silent = options_.silent;
  if (!silent.enabled || s_.calibrated == 0 || s_.silent_rows < silent.rows ||
      s_.since_positive < silent.expected) {
    return {};
  }
  Finding finding{FreezeReason::kSilent,
                  print("no positive label came in %.0f rows where %.1f were expected",
                        s_.silent_rows, s_.since_positive)};
  s_.silent_rows = s_.since_positive = s_.heard = 0;
  return finding;
}

bool TaskWatch::heard(double label) {
  if (label > 0) s_.heard += 1;
  return s_.heard >= options_.silent.positives;
}

void TaskWatch::pass_over(double loss) {
  if (!std::isfinite(loss)) return;
  s_.frozen_rows += 1;
  s_.frozen_loss +=
      (loss - s_.frozen_loss) / std::min(s_.frozen_rows, static_cast<double>(options_.spike.rows));
}

std::optional<double> TaskWatch::frozen_loss() const {
  return s_.frozen_rows >= options_.spike.rows ? std::optional(s_.frozen_loss) : std::nullopt;
}

void TaskWatch::reset() { s_ = {}; }

std::optional<double> TaskWatch::usual_loss() const {
  return s_.pieces > 0 ? std::optional(s_.usual) : std::nullopt;
}

// Takes a piece's mean into the usual loss and its deviation.
void TaskWatch::follow(double mean) {
  const bool warm = s_.pieces >= options_.spike.warm_up;
  const double share = 1 / std::min(s_.pieces + 1, kLength);
  double away = mean - s_.usual;
  if (!warm && binary_) {
    away = std::min(mean, 2 * kCoinLoss) - s_.usual;
  } else if (!warm && s_.pieces >= 2) {
    away = std::min(away, kFollowed * std::max(std::sqrt(s_.variance), s_.usual));
  } else if (warm) {
    const double most = kFollowed * std::max(std::sqrt(s_.variance), kLeastSpread * s_.usual);
    away = std::clamp(away, -most, most);
  }
  if (s_.pieces > 0) s_.variance += share * (away * away - s_.variance);
  s_.usual += share * away;
  s_.pieces += 1;
}

std::optional<Finding> TaskWatch::close_piece() {
  const SpikeOptions& spike = options_.spike;
  const double rows = s_.piece_rows, mean = s_.piece_loss / rows;
  s_.piece_rows = s_.piece_loss = s_.piece_expected = s_.piece_positives = 0;
  const bool warm = s_.pieces >= spike.warm_up;
  double usual = s_.usual, deviation = std::max(std::sqrt(s_.variance), kLeastSpread * usual);
  if (!warm) usual = deviation = kCoinLoss;
  if (warm || binary_) {
    s_.last = deviation > 0
                  ? std::clamp((mean - usual) / deviation, -kMostDeviations, kMostDeviations)
                  : 0;
    s_.sum = std::clamp(s_.sum + s_.last - spike.deviations, 0.0, 2 * spike.limit);
  }
  if (s_.sum > 0) {
    s_.excess_rows += rows;
    s_.excess_loss += mean * rows;
  } else {
    s_.excess_rows = s_.excess_loss = 0;
  }
  follow(mean);
  if (!spike.enabled || s_.sum < spike.limit) return {};
  const double high = s_.excess_loss / s_.excess_rows;
  if (!(high >= spike.ratio * usual)) return {};
  return Finding{FreezeReason::kSpike, print("the loss is %.4g over the last %.0f rows; %.4g is "
                                             "usual",
                                             high, s_.excess_rows, usual)};
}

std::optional<Finding> TaskWatch::close_window() {
  const CalibrationOptions& options = options_.calibration;
  const double predicted = s_.predicted, seen = s_.positives, spread = s_.spread;
  s_.window_rows = s_.predicted = s_.positives = s_.spread = 0;
  const auto within = [&](double band) {
    return predicted <= band * seen && seen <= band * predicted;
  };
  if (within(std::sqrt(options.band))) s_.calibrated = 1;
  const double away = std::abs(predicted - seen);
  const bool outside =
      !within(options.band) && away * away > options.deviations * options.deviations * spread;
  s_.outside = outside && s_.calibrated != 0 ? s_.outside + 1 : 0;
  if (!options.enabled || s_.outside < options.windows) return {};
  return Finding{FreezeReason::kCalibration,
                 print("%.1f positives were predicted and %.0f came", predicted, seen)};
}

void TaskWatch::save(ByteWriter& writer) const {
  const auto values = std::bit_cast<std::array<double, sizeof(State) / sizeof(double)>>(s_);
  for (const double value : values) writer.put(value);
}

void TaskWatch::restore(ByteReader& reader) {
  std::array<double, sizeof(State) / sizeof(double)> values{};
  for (double& value : values) value = reader.get<double>();
  s_ = std::bit_cast<State>(values);
}

}  // namespace millrace
