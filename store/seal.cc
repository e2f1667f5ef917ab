#include "store/seal.h"

#include "learner/base/hash.h"
#include "learner/base/state.h"
#include "store/error.h"

namespace millrace {
namespace {

constexpr std::uint64_t kValueSeed = 1, kPieceSeed = 2;

std::uint64_t value_hash(std::string_view key, bool in_digest, std::string_view bytes) {
  return hash_bytes(bytes, hash_bytes(key, kValueSeed + (in_digest ? 2 : 0)));
}

}  // namespace

void Seal::put_value(const std::string& key, std::uint64_t hash) {
  std::uint64_t& known = values_[key];
  sum_ += hash - known;
  known = hash;
}

void Seal::put_piece(std::string_view key, std::uint64_t bytes) {
  const std::uint64_t hash = mix_bits(hash_bytes(key, kPieceSeed) ^ bytes);
  piece_hashes_[std::string(key)] = hash;
  sum_ += hash;
}

Seal Seal::of(const Database& database) {
  Seal seal;
  database.scan(Family::kValues, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    if (value.empty()) throw StoreDamagedError("the store is damaged: a value has no flag");
    seal.put_value(std::string(key), value_hash(key, value.front() != 0, value.substr(1)));
  });
  database.scan(Family::kIndex, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    if (value.size() != sizeof(std::uint64_t)) {
      throw StoreDamagedError("the store is damaged: its index has a size of " +
                              std::to_string(value.size()) + " bytes");
    }
    seal.put_piece(key, ByteReader(value).get<std::uint64_t>());
  });
  return seal;
}

void Seal::apply(const Commit& commit, const std::vector<keys::PieceKey>& removed,
                 const std::vector<WrittenPiece>& written) {
  for (const Commit::Part& part : commit.parts) {
    for (const StateChanges::Value& value : part.changes.values) {
      const std::string key = keys::value(part.participant, value.name);
      put_value(key, value_hash(key, value.in_digest, value.bytes));
    }
  }
  for (const WrittenPiece& piece : written) put_piece(keys::piece(piece.key), piece.bytes);
  for (const keys::PieceKey& piece : removed) {
    const auto known = piece_hashes_.find(keys::piece(piece));
    if (known == piece_hashes_.end()) continue;
    sum_ -= known->second;
    piece_hashes_.erase(known);
  }
}

void Seal::forget(std::string_view prefix) {
  for (auto* hashes : {&values_, &piece_hashes_}) {
    std::erase_if(*hashes, [&](const auto& entry) {
      if (!entry.first.starts_with(prefix)) return false;
      sum_ -= entry.second;
      return true;
    });
  }
}

void Seal::write(WriteSet& changes) const {
  ByteWriter writer;
  writer.put(sum_);
  changes.put(Family::kMeta, keys::kSeal, {writer.bytes()});
}

void Seal::check(const Database& database) const {
  const auto bytes = database.get(Family::kMeta, keys::kSeal);
  if (!bytes && values_.empty() && piece_hashes_.empty()) return;
  if (bytes && bytes->size() == sizeof sum_ && ByteReader(*bytes).get<std::uint64_t>() == sum_) {
    return;
  }
  throw StoreDamagedError("the store is damaged: a part of what was committed is not there");
}

}  // namespace millrace
