#include "store/keys.h"

#include "learner/base/check.h"

namespace millrace::keys {
namespace {

void put_name(std::string& key, std::string_view name) {
  MILLRACE_CHECK(!name.empty() && name.find('\0') == std::string_view::npos);
  key.append(name);
  key.push_back('\0');
}

template <class T>
void put_number(std::string& key, T number) {
  for (int shift = 8 * (static_cast<int>(sizeof number) - 1); shift >= 0; shift -= 8) {
    key.push_back(static_cast<char>(number >> shift & 0xff));
  }
}

bool take_name(std::string_view& left, std::string_view& name) {
  const std::size_t end = left.find('\0');
  if (end == std::string_view::npos || end == 0) return false;
  name = left.substr(0, end);
  left.remove_prefix(end + 1);
  return true;
}

template <class T>
bool take_number(std::string_view& left, T& number) {
  if (left.size() < sizeof number) return false;
  number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) {
    number = static_cast<T>(number << 8 | static_cast<unsigned char>(left[i]));
  }
  left.remove_prefix(sizeof number);
  return true;
}

std::string two_names(std::string_view first, std::string_view second) {
  std::string key;
  put_name(key, first);
  put_name(key, second);
  return key;
}

}  // namespace

std::string live(std::string_view participant, std::string_view set) {
  return std::string(kLivePrefix) + two_names(participant, set);
}

std::string value(std::string_view participant, std::string_view name) {
  return two_names(participant, name);
}

std::string piece(const PieceKey& key) {
  std::string bytes;
  put_name(bytes, key.participant);
  put_number(bytes, key.sequence);
  put_name(bytes, key.set);
  put_number(bytes, key.piece);
  return bytes;
}

std::string cold(const ColdKey& key) {
  std::string bytes = two_names(key.participant, key.set);
  put_number(bytes, key.number);
  return bytes;
}

std::string cold_index(const ColdKey& key, ColdPart part) {
  std::string bytes = cold(key);
  bytes.push_back(static_cast<char>(part));
  return bytes;
}

std::string participant_prefix(std::string_view participant) {
  std::string key;
  put_name(key, participant);
  return key;
}

std::optional<TwoNames> parse_value(std::string_view key) {
  TwoNames names;
  if (!take_name(key, names.first) || !take_name(key, names.second) || !key.empty()) return {};
  return names;
}

std::optional<TwoNames> parse_live(std::string_view key) {
  if (!key.starts_with(kLivePrefix)) return {};
  return parse_value(key.substr(kLivePrefix.size()));
}

std::optional<PieceKey> parse_piece(std::string_view key) {
  std::string_view participant, set;
  PieceKey piece;
  if (!take_name(key, participant) || !take_number(key, piece.sequence) || !take_name(key, set) ||
      !take_number(key, piece.piece) || !key.empty()) {
    return {};
  }
  piece.participant = participant;
  piece.set = set;
  return piece;
}

std::optional<ColdKey> parse_cold(std::string_view key) {
  std::string_view participant, set;
  ColdKey cold;
  if (!take_name(key, participant) || !take_name(key, set) || !take_number(key, cold.number) ||
      !key.empty()) {
    return {};
  }
  cold.participant = participant;
  cold.set = set;
  return cold;
}

std::optional<std::pair<ColdKey, ColdPart>> parse_cold_index(std::string_view key) {
  if (key.empty()) return {};
  const auto part = static_cast<unsigned char>(key.back());
  auto cold = parse_cold(key.substr(0, key.size() - 1));
  if (!cold || part > 1) return {};
  return std::pair{std::move(*cold), static_cast<ColdPart>(part)};
}

}  // namespace millrace::keys
