#pragma once

#include <optional>

#include "learner/evaluate/figures.h"

namespace millrace {

/// What a conditional rate would be by division, CTCVR / CTR (ESMM, Ma et al. 2018): the mean of
/// the product over that of its condition, both over all impressions. A diagnostic, never an
/// estimate of a row: it may exceed 1. Nothing where the condition's mean is 0 or a mean is not
/// there.
struct Division {
  std::optional<double> predicted = {};
  std::optional<double> observed = {};  ///< Of the labels.
};

/// `product` and `condition`: over the same window.
inline Division division_of(const Figures& product, const Figures& condition) {
  const auto ratio = [](std::optional<double> of, std::optional<double> by) {
    return of && by && *by > 0 ? std::optional(*of / *by) : std::nullopt;
  };
  return {ratio(product.prediction_mean, condition.prediction_mean),
          ratio(product.label_mean, condition.label_mean)};
}

/// By window (OutputReport).
struct DivisionReport {
  Division all, window, last_fifth;
};

}  // namespace millrace
