#include "store/piece_index.h"

#include <algorithm>

#include "learner/base/check.h"
#include "store/pieces.h"

namespace millrace {
namespace {

constexpr std::uint64_t kSpareBytes = 32 << 20;
constexpr std::uint64_t kSparePieces = 1024;
constexpr double kLeastCleaned = 4 << 20;
constexpr double kCleanedPerOwn = 3;

}  // namespace

bool PieceIndex::Log::needs_cleaning() const {
  if (pieces.size() > kSparePieces + 2 * (bytes / kPieceBytes)) return true;
  return live_bytes && bytes > 2 * *live_bytes + kSpareBytes;
}

void PieceIndex::add(const keys::PieceKey& key, std::uint64_t bytes) {
  Log& log = logs_[{key.participant, key.set}];
  const Piece piece{key.sequence, key.piece, bytes};
  if (!log.pieces.empty()) {
    const Piece& last = log.pieces.back();
    MILLRACE_CHECK(std::pair(last.sequence, last.piece) < std::pair(piece.sequence, piece.piece));
  }
  log.pieces.push_back(piece);
  log.bytes += bytes;
  log.added_bytes += bytes;
}

void PieceIndex::remove_oldest(const keys::PieceKey& key) {
  Log& log = logs_[{key.participant, key.set}];
  MILLRACE_CHECK(!log.pieces.empty());
  const Piece& oldest = log.pieces.front();
  MILLRACE_CHECK(oldest.sequence == key.sequence && oldest.piece == key.piece);
  log.bytes -= oldest.bytes;
  log.cleaned = true;
  log.pieces.pop_front();
}

void PieceIndex::forget(const std::string& participant) {
  std::erase_if(logs_, [&](const auto& log) { return log.first.first == participant; });
}

void PieceIndex::set_live_bytes(const std::string& participant, const std::string& set,
                                std::uint64_t bytes) {
  logs_[{participant, set}].live_bytes = bytes;
}

void PieceIndex::end_load() {
  for (auto& [name, log] : logs_) log.added_bytes = 0;
}

void PieceIndex::end_commit() {
  ++commits_;
  for (auto& [name, log] : logs_) {
    if (!log.cleaned) log.own_bytes = (log.own_bytes + static_cast<double>(log.added_bytes)) / 2;
    log.added_bytes = 0;
    log.cleaned = false;
  }
}

std::vector<keys::PieceKey> PieceIndex::to_clean() const {
  std::vector<keys::PieceKey> chosen;
  if (commits_ % 4 == 3) return chosen;
  for (const auto& [name, log] : logs_) {
    if (!log.needs_cleaning()) continue;
    double left = std::max(kLeastCleaned, kCleanedPerOwn * log.own_bytes);
    for (const Piece& piece : log.pieces) {
      chosen.push_back({name.first, piece.sequence, name.second, piece.piece});
      left -= static_cast<double>(piece.bytes);
      if (left <= 0) break;
    }
  }
  return chosen;
}

std::set<std::string> PieceIndex::participants() const {
  std::set<std::string> names;
  for (const auto& [name, log] : logs_) names.insert(name.first);
  return names;
}

std::map<std::string, PieceIndex::SetSize> PieceIndex::sets_of(
    const std::string& participant) const {
  std::map<std::string, SetSize> sets;
  for (const auto& [name, log] : logs_) {
    if (name.first == participant) {
      sets[name.second] = {log.pieces.size(), log.bytes, log.live_bytes};
    }
  }
  return sets;
}

PieceIndex::Totals PieceIndex::totals() const {
  Totals totals;
  for (const auto& [name, log] : logs_) {
    totals.pieces += log.pieces.size();
    totals.bytes += log.bytes;
    totals.live_bytes += log.live_bytes.value_or(0);
  }
  return totals;
}

}  // namespace millrace
