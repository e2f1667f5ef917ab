#pragma once

#include <cstdint>
#include <tuple>

#include "learner/base/fields.h"
#include "learner/base/time.h"

namespace millrace {

/// `guardrails.not_finite`
struct NotFiniteOptions {
  int limit = 16;
  int quarantine = 32;
  static constexpr auto fields() {
    using N = NotFiniteOptions;
    return std::tuple{
        field(
            "limit", &N::limit,
            "So many batches in a row with a loss or gradient that is not finite freeze learning.",
            1, 1'000'000),
        field("quarantine", &N::quarantine,
              "How many of the last skipped batches are remembered, with their event times.", 1,
              10'000)};
  }
};

/// `guardrails.spike`
struct SpikeOptions {
  bool enabled = true;
  int rows = 256;
  int warm_up = 32;
  double ratio = 1.2;
  double deviations = 2;
  double limit = 12;
  static constexpr auto fields() {
    using S = SpikeOptions;
    return std::tuple{
        field("enabled", &S::enabled, "Whether a spike of a task's loss freezes the task."),
        field("rows", &S::rows, "Rows with the task's label whose mean loss is judged as one.", 1,
              1'000'000),
        field("warm_up", &S::warm_up,
              "So many of these means are only learned from; until then a loss counts against the "
              "toss of a coin alone.",
              2, 1'000'000),
        field("ratio", &S::ratio, "A spike's mean loss is at least so many times the usual one.",
              1.0, 1e6),
        field("deviations", &S::deviations,
              "What a mean exceeds the usual one by, in standard deviations, counts beyond this.",
              0.0, 1e6),
        field("limit", &S::limit,
              "The task freezes when what counts adds up to this; one mean adds 4 at most.", 0.1,
              1e6)};
  }
};

/// `guardrails.calibration`
struct CalibrationOptions {
  bool enabled = true;
  double band = 3;
  int expected = 50;
  int rows = 1000;
  double deviations = 4;
  int windows = 2;
  static constexpr auto fields() {
    using C = CalibrationOptions;
    return std::tuple{
        field("enabled", &C::enabled,
              "Whether a task whose predictions do not add up to its labels is frozen."),
        field("band", &C::band,
              "The sum of predictions over the sum of labels stays within 1/band and band.", 1.01,
              1e6),
        field("expected", &C::expected,
              "Positives, predicted or seen, that make a window worth judging,", 1, 100'000'000),
        field("rows", &C::rows, "and rows, so that one user's visit does not decide.", 1,
              100'000'000),
        field("deviations", &C::deviations,
              "And the two sums differ by at least so many standard deviations.", 0.0, 1e6),
        field("windows", &C::windows, "So many windows in a row outside the band freeze the task.",
              1, 1'000'000)};
  }
};

/// `guardrails.silent`
struct SilentOptions {
  bool enabled = true;
  double expected = 25;
  int rows = 1000;
  bool resume = true;
  int positives = 3;
  static constexpr auto fields() {
    using S = SilentOptions;
    return std::tuple{
        field("enabled", &S::enabled,
              "Whether a task whose label stops coming, while its rows flow on, is frozen."),
        field("expected", &S::expected,
              "It is silent when the model expected so many positives since the last one,", 1.0,
              1e9),
        field("rows", &S::rows, "over at least so many rows.", 1, 1'000'000'000),
        field("resume", &S::resume, "Whether the task goes on by itself when positives come back."),
        field("positives", &S::positives, "After so many of them.", 1, 1'000'000)};
  }
};

/// `guardrails.publish`
struct PublishGateOptions {
  double max_weight = 10'000;
  double max_change = 0.25;
  double max_loss = 3;
  int hold = 16'384;
  static constexpr auto fields() {
    using P = PublishGateOptions;
    return std::tuple{
        field("max_weight", &P::max_weight,
              "A version with a weight beyond this, or one that is not finite, is not published.",
              1.0, 1e30),
        field(
            "max_change", &P::max_change,
            "Nor one after a step that changed the dense weights by more than so many times their "
            "usual norm, or after a task was frozen for its loss or calibration.",
            1e-6, 1e30),
        field("max_loss", &P::max_loss,
              "Nor one under which a task's loss on the last batch is so many times what it was.",
              1.0, 1e30),
        field("hold", &P::hold,
              "After so many rows without a version learning freezes; before, versions leave again "
              "after a quarter of them if all losses are as usual.",
              1, 1'000'000'000)};
  }
};

/// `guardrails.dead_letters`
struct DeadLetterGuardOptions {
  bool enabled = true;
  double share = 0.5;
  int records = 1000;
  static constexpr auto fields() {
    using D = DeadLetterGuardOptions;
    return std::tuple{
        field("enabled", &D::enabled,
              "Whether rows are passed over while too many records are dead letters."),
        field("share", &D::share,
              "Rows are passed over, for good, while so many of the last records are dead "
              "letters, until fewer than half of that are.",
              0.001, 1.0),
        field("records", &D::records, "How many records are the last.", 1, 10'000'000)};
  }
};

/// `guardrails.user_cap`
struct UserCapOptions {
  int rows = 0;
  Duration window{3'600'000};
  std::int64_t users = 1'000'000;
  static constexpr auto fields() {
    using U = UserCapOptions;
    return std::tuple{
        field("rows", &U::rows,
              "So many rows of one user (`user` of the event) are learned from in a window; those "
              "beyond are measured alone. 0: no cap.",
              0, 1'000'000),
        field("window", &U::window, "How much of due time a window is.", Duration{1000},
              Duration{366 * 86'400'000LL}),
        field("users", &U::users,
              "So many users of a window are counted exactly; with more, a user may have as many "
              "rows beyond `rows` as the window has rows for each of these.",
              std::int64_t{1}, std::int64_t{100'000'000})};
  }
};

/// The `guardrails:` section: when learning stops by itself, for one task or for all, and what one
/// user may have of it.
struct GuardrailOptions {
  NotFiniteOptions not_finite;
  SpikeOptions spike;
  CalibrationOptions calibration;
  SilentOptions silent;
  PublishGateOptions publish;
  DeadLetterGuardOptions dead_letters;
  UserCapOptions user_cap;

  static constexpr auto fields() {
    using G = GuardrailOptions;
    return std::tuple{
        field("not_finite", &G::not_finite, "Batches whose loss or gradient is not finite."),
        field("spike", &G::spike, "A task's loss against its own past."),
        field("calibration", &G::calibration, "A task's predictions against its labels."),
        field("silent", &G::silent, "A label that stops coming."),
        field("publish", &G::publish, "Which weights may reach the scorers."),
        field("dead_letters", &G::dead_letters, "Records that cannot become events."),
        field("user_cap", &G::user_cap, "How much of the learning one user may have.")};
  }
};

}  // namespace millrace
