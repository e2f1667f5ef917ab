#include "store/commit.h"

#include <set>

#include "learner/base/check.h"
#include "store/cold_blocks.h"
#include "store/database.h"
#include "store/pieces.h"

namespace millrace {
namespace {

template <class T>
std::string bytes_of(T value) {
  ByteWriter writer;
  writer.put(value);
  return writer.take();
}

void put_blocks(const Commit::Part& part, std::uint64_t sequence, WriteSet& changes,
                std::vector<WrittenPiece>& written) {
  std::set<std::string_view> sets;
  for (const StateChanges::Block& block : part.changes.blocks) {
    MILLRACE_CHECK(sets.insert(block.set).second);
    keys::PieceKey at{part.participant, sequence, block.set, 0};
    for (const std::string_view piece : cut_into_pieces(block.bytes)) {
      const std::string key = keys::piece(at);
      changes.put(Family::kBlocks, key, {piece});
      changes.put(Family::kIndex, key, {bytes_of(std::uint64_t{piece.size()})});
      written.push_back({at, piece.size()});
      ++at.piece;
    }
  }
}

}  // namespace

std::vector<WrittenPiece> encode_commit(const Commit& commit,
                                        const std::vector<keys::PieceKey>& cleaned,
                                        WriteSet& changes) {
  std::vector<WrittenPiece> written;
  std::set<std::string_view> participants;
  for (const Commit::Part& part : commit.parts) {
    MILLRACE_CHECK(participants.insert(part.participant).second);
    for (const StateChanges::Value& value : part.changes.values) {
      changes.put(Family::kValues, keys::value(part.participant, value.name),
                  {bytes_of(std::uint8_t{value.in_digest}), value.bytes});
    }
    put_blocks(part, commit.sequence, changes, written);
    encode_cold(part, changes);
    for (const StateChanges::Size& size : part.changes.sizes) {
      changes.put(Family::kMeta, keys::live(part.participant, size.set),
                  {bytes_of(size.live_bytes)});
    }
  }
  for (const keys::PieceKey& piece : cleaned) {
    const std::string key = keys::piece(piece);
    changes.erase(Family::kBlocks, key);
    changes.erase(Family::kIndex, key);
  }
  put_sequence(commit.sequence, changes);
  return written;
}

void put_sequence(std::uint64_t sequence, WriteSet& changes) {
  const std::string bytes = bytes_of(sequence);
  changes.put(Family::kMeta, keys::kSequence, {bytes});
  for (const Family family : kMarkedFamilies) changes.put(family, keys::kMark, {bytes});
}

}  // namespace millrace
