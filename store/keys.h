#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace::keys {

/// The byte layout of every key of the store; FORMAT.md has the grammar and worked examples.
///
/// Names end with a zero byte and numbers are big-endian, so that the order of the bytes is the
/// order of the meaning: one participant's pieces stand together, in the order in which they are
/// restored. Requires everywhere: names are not empty and hold no zero byte.

/// Family meta.
inline constexpr std::string_view kSchema = "schema";
inline constexpr std::string_view kSequence = "sequence";
/// In the other families: the same number, so that one that stands elsewhere is noticed. No name
/// begins with a zero byte. Not in `cold`, whose files are moved only as long as their keys are
/// apart; that one is held against its index when it is read.
inline constexpr std::string_view kMark{"\0sequence", 9};
inline constexpr std::string_view kHistory = "history";
/// The sum over all values and pieces (Seal).
inline constexpr std::string_view kSeal = "seal";
inline constexpr std::string_view kLivePrefix = "live/";

/// Where one piece of a block stands: families index and blocks.
struct PieceKey {
  std::string participant;
  std::uint64_t sequence = 0;  ///< Of the commit that wrote it.
  std::string set;
  std::uint32_t piece = 0;  ///< 0, 1, …: a large block is kept in several pieces.
  bool operator==(const PieceKey&) const = default;
};

/// Where a cold block stands: family cold.
struct ColdKey {
  std::string participant;
  std::string set;
  std::uint64_t number = 0;
  bool operator==(const ColdKey&) const = default;
  auto operator<=>(const ColdKey&) const = default;
};
/// What family cold_index says of one; in the order in which it is restored.
enum class ColdPart : std::uint8_t { kLeft = 0, kDirectory = 1 };

std::string live(std::string_view participant, std::string_view set);
std::string value(std::string_view participant, std::string_view name);
std::string piece(const PieceKey& key);
std::string cold(const ColdKey& key);
std::string cold_index(const ColdKey& key, ColdPart part);
/// What all keys of one participant's values or pieces begin with.
std::string participant_prefix(std::string_view participant);

/// The two names of a key that `live` (without its prefix) or `value` made.
struct TwoNames {
  std::string_view first;
  std::string_view second;  ///< Both point into the key.
};

/// The reverse. Nothing: the bytes are no such key.
std::optional<TwoNames> parse_value(std::string_view key);
std::optional<TwoNames> parse_live(std::string_view key);
std::optional<PieceKey> parse_piece(std::string_view key);
std::optional<ColdKey> parse_cold(std::string_view key);
std::optional<std::pair<ColdKey, ColdPart>> parse_cold_index(std::string_view key);

}  // namespace millrace::keys
