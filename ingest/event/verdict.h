#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ingest/event/rejection.h"

namespace millrace {

/// The start of a text for a message: at most 40 bytes, cut between two characters of UTF-8, with
/// "…" where something was cut.
std::string shorten(std::string_view text);

/// Collects what is wrong with one record. Of several faults the one whose reason comes first in
/// the order of `Reason` counts, and of equal ones the first that was found.
class Verdict {
 public:
  bool is_clean() const { return !rejection_; }
  /// Requires: a fault was found.
  Rejection take() { return std::move(*rejection_); }
  void clear() { rejection_.reset(); }

  /// `time`: see Rejection.
  void refuse(Reason reason, std::string message, std::optional<EventTime> time = {});
  /// `field "time" is missing`
  void missing(std::string_view field);
  /// `field "features.price": "abc" is not a number`
  void wrong_type(std::string_view field, std::string_view value, std::string_view expected);

 private:
  std::optional<Rejection> rejection_;
};

}  // namespace millrace
