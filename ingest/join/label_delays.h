#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ingest/event/event.h"
#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// How long outcomes take, against their windows, so that a window can be chosen from data: of the
/// first applied outcome of each impression and type, how many came within 1/64, 1/32, … 1/2 and
/// the whole of the window; and how many outcomes came out of it. Counts since the store began.
class LabelDelays {
 public:
  static constexpr int kParts = 7;  ///< Within window / 64, / 32, … / 1.
  struct Of {
    std::string name;                            ///< Of the outcome.
    std::array<std::uint64_t, kParts> within{};  ///< Each counted once, in its own part.
    std::uint64_t out_of_window = 0;

    std::uint64_t applied() const;
    /// The share that came within window / 2^(kParts − 1 − part); 0 before any.
    double share(int part) const;
    bool operator==(const Of&) const = default;
  };

  explicit LabelDelays(const EventTypes& types);
  LabelDelays() = default;

  /// A first outcome of an impression was applied, `delay` after it (before it counts as at once).
  void applied(int type, Duration delay, Duration window);
  void out_of_window(int type) { ++of_[static_cast<std::size_t>(type)].out_of_window; }

  /// By index of the outcome.
  const std::vector<Of>& all() const { return of_; }

  /// u32 count, then of each outcome: text name · u64 [kParts] · u64 out of window.
  void save(ByteWriter& writer) const;
  /// Takes over what is there of outcomes of the same names. Error: throws StateError.
  void restore(ByteReader& reader);
  /// Everything that was saved, whatever outcomes there are now. Error: throws StateError.
  static std::vector<Of> read(ByteReader& reader);

 private:
  std::vector<Of> of_;
};

/// "1/64", … "1/2", "1": the name of a part.
std::string label_delay_part(int part);

}  // namespace millrace
