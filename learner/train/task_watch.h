#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "learner/base/state.h"
#include "learner/train/guardrail_options.h"

namespace millrace {

/// Why learning of a task, or of all, is frozen. The names are public: metrics and answers.
enum class FreezeReason : std::uint8_t {
  kNone,
  kNotFinite,
  kSpike,
  kCalibration,
  kSilent,
  kUnbounded,
  kDeadLetters,
  kAdministrator,
};
inline constexpr int kFreezeReasons = 8;
std::string_view to_string(FreezeReason reason);

/// The mean loss of a binary task that answers by the toss of a coin: ln 2.
inline constexpr double kCoinLoss = 0.6931471805599453;

/// What a guard has found.
struct Finding {
  FreezeReason reason = FreezeReason::kNone;
  std::string text;  ///< For people: the figures that decided.
};

/// Watches what one task's model said of rows before it learned from them, and finds a spike of its
/// loss, predictions that do not add up to the labels, and a label that has stopped coming.
///
/// Spike: rows make pieces of `rows` rows (and of four positives, predicted or seen, so that a rare
/// label is judged as fairly as a common one). A piece's mean loss L against the running mean μ and
/// deviation σ of pieces, z = (L − μ)/σ within ±6, is summed as Page's cumulative sum (1954)
///   S ← max(0, S + z − deviations)
/// and S ≥ limit is a spike, if the mean loss since S left 0 is `ratio` times μ. Both μ and σ fade
/// over 64 pieces and take in z within ±3 only, so a spike does not become the usual. In the
/// warm-up only a binary task is judged, against μ = σ = ln 2, and 2 ln 2 is the most that is taken
/// in: a model that only starts may be wrong, but is not that sure of it. Calibration: rows make
/// windows of `rows` rows and `expected` positives, predicted or seen. A window outside the band,
/// by `deviations` of √Σp(1 − p), counts, after the task was well inside once. Silence: Σp since
/// the last positive reaches `expected`, over `rows` rows at least, after the task was well inside
/// once.
///
/// A function of the rows in their order, however they are cut into batches. Cost: an addition or
/// two a row. Threads: one at a time.
class TaskWatch {
 public:
  /// Borrows `options`.
  TaskWatch(const GuardrailOptions& options, bool binary) : options_(options), binary_(binary) {}

  /// One row whose label is known: the prediction (of a binary task, a probability) and the loss
  /// that the model had; a row without a loss is in no piece. What is not finite is passed over.
  /// Returns the first finding.
  std::optional<Finding> add(double label, double prediction, std::optional<double> loss);
  /// As `add` while the task is frozen for its silence: whether enough positives have come back.
  bool heard(double label);
  /// One row while the task is frozen for its loss.
  void pass_over(double loss);
  /// The mean loss of late while frozen, over about `spike.rows` rows; nothing before so many.
  std::optional<double> frozen_loss() const;
  /// Forgets everything: the task starts anew.
  void reset();

  /// Whether the last piece was within `deviations` of the usual; true before a first one.
  bool is_usual() const { return s_.last <= options_.spike.deviations; }
  /// The usual mean loss; nothing before a first piece.
  std::optional<double> usual_loss() const;

  void save(ByteWriter& writer) const;
  void restore(ByteReader& reader);

 private:
  std::optional<Finding> judge_silence();
  std::optional<Finding> close_piece();
  std::optional<Finding> close_window();
  void follow(double mean);

  const GuardrailOptions& options_;
  const bool binary_;
  // Everything below is state, of f64 alone.
  struct State {
    double piece_rows = 0, piece_loss = 0, piece_expected = 0, piece_positives = 0;
    double pieces = 0, usual = 0, variance = 0, sum = 0, last = 0, excess_rows = 0, excess_loss = 0;
    double window_rows = 0, predicted = 0, positives = 0, spread = 0, outside = 0;
    double calibrated = 0;  ///< 1 once a window was well inside the band.
    double silent_rows = 0, since_positive = 0, heard = 0;
    double frozen_rows = 0, frozen_loss = 0;
  } s_;
};

}  // namespace millrace
