#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/evaluate/tally.h"

// Windows over anything that adds up. An `Open` takes rows in (`add(row)`, `rows()`), gives what
// they add up to in a form for keeping (`Kept sparse()`), takes such a thing in (`add(Kept)`), and
// starts anew (`clear()`); a `Kept` saves itself (`save(writer)`, `Kept::restored(reader)`).
namespace millrace {

/// The number of a piece in the name under which it is saved. Error: throws StateError.
inline std::size_t saved_piece(std::string_view text, std::size_t pieces) {
  std::size_t place = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), place);
  if (error != std::errc{} || end != text.data() + text.size() || place >= pieces) {
    throw StateError("saved metrics have an unknown piece");
  }
  return place;
}

/// What follows `part` and a slash in the name of a saved value: empty where nothing does; nothing
/// where `name` is something else.
inline std::optional<std::string_view> name_after(std::string_view name, std::string_view part) {
  if (!name.starts_with(part)) return std::nullopt;
  name.remove_prefix(part.size());
  if (name.empty()) return name;
  if (name.front() != '/') return std::nullopt;
  return name.substr(1);
}

/// The last 100,000 rows, by pieces of 5,000: between 95,000 and 100,000 rows once there are as
/// many. Memory: one open piece and 19 kept ones.
template <class Open>
class RowWindow {
 public:
  static constexpr std::uint64_t kPieceRows = 5'000;
  static constexpr int kClosedPieces = 19;

  explicit RowWindow(Open open) : open_(std::move(open)) {}

  template <class Row>
  void add(const Row& row) {
    open_.add(row);
    if (open_.rows() < kPieceRows) return;
    closed_[pieces_ % kClosedPieces] = open_.sparse();
    ++pieces_;
    open_.clear();
  }

  Open tally() const {
    Open tally = open_;
    const std::uint64_t count = std::min(pieces_, std::uint64_t{kClosedPieces});
    for (std::uint64_t n = pieces_ - count; n < pieces_; ++n) {
      tally.add(closed_[n % kClosedPieces]);
    }
    return tally;
  }

  /// Appends what changed since the last call: the open piece as `name`, and each piece that was
  /// closed as `name`/0 … `name`/18, which is written once and stays as it is.
  void save(const std::string& name, StateChanges& changes) {
    ByteWriter writer;
    writer.put(pieces_);
    open_.sparse().save(writer);
    changes.values.push_back({name, writer.take()});
    const std::uint64_t oldest = pieces_ - std::min(pieces_, std::uint64_t{kClosedPieces});
    for (std::uint64_t n = std::max(oldest, saved_pieces_); n < pieces_; ++n) {
      closed_[n % kClosedPieces].save(writer);
      changes.values.push_back({name + "/" + std::to_string(n % kClosedPieces), writer.take()});
    }
    saved_pieces_ = pieces_;
  }

  /// `piece`: empty for the open one. Error: throws StateError.
  void restore(std::string_view piece, std::string_view bytes) {
    ByteReader reader(bytes);
    if (piece.empty()) {
      pieces_ = saved_pieces_ = reader.get<std::uint64_t>();
      open_.clear();
      open_.add(Kept::restored(reader));
    } else {
      closed_[saved_piece(piece, closed_.size())] = Kept::restored(reader);
    }
    if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
  }

 private:
  using Kept = typename Open::Kept;

  Open open_;
  std::array<Kept, kClosedPieces> closed_;  ///< Piece n stands at n modulo 19.
  std::uint64_t pieces_ = 0;                ///< Closed so far.
  std::uint64_t saved_pieces_ = 0;
};

/// The rows of the last `span` of event time, by pieces of a 24th of it that begin at multiples of
/// their length: between 23/24 and the whole of it. A row's time is its batch's due time; one that
/// is behind the open piece counts as of it. Memory: one open piece and 23 kept ones.
template <class Open>
class SpanWindow {
 public:
  static constexpr int kPieces = 24;

  SpanWindow(Open open, Duration span)
      : open_(std::move(open)), piece_(std::max<std::int64_t>(1, span.count() / kPieces)) {}

  /// Event time has come to `now`.
  void advance(EventTime now) {
    if (!now.is_finite()) return;
    const std::int64_t cell = now.ms / piece_ - (now.ms % piece_ < 0 ? 1 : 0);
    if (!started_) {
      started_ = true;
      cell_ = cell;
    }
    if (cell <= cell_) return;
    if (open_.rows() > 0) {
      closed_[place(cell_)] = Closed{cell_, open_.sparse(), false};
      open_.clear();
    }
    cell_ = cell;
  }

  /// Requires: `advance` to the row's time came before.
  template <class Row>
  void add(const Row& row) {
    open_.add(row);
  }

  Open tally() const {
    Open tally = open_;
    for (std::int64_t cell = cell_ - kPieces + 1; cell < cell_; ++cell) {
      const auto& closed = closed_[place(cell)];
      if (closed && closed->cell == cell) tally.add(closed->kept);
    }
    return tally;
  }

  /// Appends what changed since the last call: the open piece as `name`, closed ones as `name`/0 …
  /// `name`/23. Not in the digest: which of the closed ones were ever written depends on when
  /// commits were.
  void save(const std::string& name, StateChanges& changes) {
    ByteWriter writer;
    writer.put(static_cast<std::uint8_t>(started_ ? 1 : 0));
    writer.put(cell_);
    open_.sparse().save(writer);
    changes.values.push_back({name, writer.take(), false});
    for (auto& closed : closed_) {
      if (!closed || closed->saved || closed->cell <= cell_ - kPieces) continue;
      closed->saved = true;
      writer.put(closed->cell);
      closed->kept.save(writer);
      changes.values.push_back(
          {name + "/" + std::to_string(place(closed->cell)), writer.take(), false});
    }
  }

  /// `piece`: empty for the open one. Error: throws StateError.
  void restore(std::string_view piece, std::string_view bytes) {
    ByteReader reader(bytes);
    if (piece.empty()) {
      started_ = reader.get<std::uint8_t>() != 0;
      cell_ = reader.get<std::int64_t>();
      open_.clear();
      open_.add(Kept::restored(reader));
    } else {
      const std::size_t at = saved_piece(piece, closed_.size());
      const auto cell = reader.get<std::int64_t>();
      if (place(cell) != at) throw StateError("saved metrics have a piece in a wrong place");
      closed_[at] = Closed{cell, Kept::restored(reader), true};
    }
    if (!reader.at_end()) throw StateError("saved metrics have a wrong size");
  }

 private:
  using Kept = typename Open::Kept;
  struct Closed {
    std::int64_t cell = 0;
    Kept kept;
    bool saved = false;
  };
  static std::size_t place(std::int64_t cell) {
    return static_cast<std::size_t>((cell % kPieces + kPieces) % kPieces);
  }

  Open open_;
  const std::int64_t piece_;  ///< In milliseconds.
  std::array<std::optional<Closed>, kPieces> closed_;
  std::int64_t cell_ = 0;  ///< Of the open piece: its time / piece_.
  bool started_ = false;
};

/// The last 100,000 rows of one output.
using Window = RowWindow<Tally>;

/// The last fifth of the rows since this object was made. Rows are kept in at most 128 pieces of
/// like size, of which neighbours are merged as they become too many; so the share is right to
/// within 1/128 of the rows. Not saved.
class LastFifth {
 public:
  explicit LastFifth(bool binary) : open_(binary) {}

  void add(const Measurement& measurement);
  Tally tally() const;

 private:
  static constexpr std::size_t kMostPieces = 128;

  Tally open_;
  std::vector<SparseTally> closed_;
  std::uint64_t piece_rows_ = 1;
};

}  // namespace millrace
