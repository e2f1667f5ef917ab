#include "ingest/join/joined_row.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace millrace {

bool JoinedRow::has_label() const {
  for (const double label : labels) {
    if (!std::isnan(label)) return true;
  }
  return false;
}

bool JoinedRow::has_counted_label() const {
  for (std::size_t k = 0; k < labels.size(); ++k) {
    if (!std::isnan(labels[k]) && counts[k] != 0) return true;
  }
  return false;
}

bool JoinedRow::has_target() const {
  return std::any_of(targets.begin(), targets.end(), [](std::uint8_t t) { return t != 0; });
}

bool JoinedRow::has_measured() const {
  return std::any_of(measured.begin(), measured.end(), [](double m) { return !std::isnan(m); });
}

}  // namespace millrace
