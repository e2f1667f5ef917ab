#pragma once

#include <optional>
#include <span>

#include "learner/evaluate/figures.h"
#include "learner/evaluate/options.h"

namespace millrace {

/// How good a task's figures are, as a share: 0 is no better than knowing nothing but the mean
/// label, 1 is perfect, below 0 is worse.
///
///   binary, auc:               2 AUC − 1                  (Gini's coefficient: (AUC − ½) / ½)
///   binary, information_gain:  1 − normalised entropy     (RCE)
///   regression:                1 − Σ w (p − y)² / Σ w (y − ȳ)²
std::optional<double> composite_score(const Figures& figures, bool binary,
                                      CompositeMeasure measure);

/// One task's part in the composite.
struct CompositePart {
  double weight = 0;
  std::optional<double> score;
};

/// Σ weight · score / Σ weight over the parts that weigh anything; nothing where one of these has
/// no score, so that two models, or two moments, are never compared by different tasks.
std::optional<double> composite_of(std::span<const CompositePart> parts);

}  // namespace millrace
