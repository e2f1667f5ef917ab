#include "ingest/join/joined_row.h"

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

}  // namespace millrace
