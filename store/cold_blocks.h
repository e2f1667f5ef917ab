#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "store/commit.h"
#include "store/database.h"
#include "store/keys.h"

namespace millrace {

/// Cold blocks in the database: their bytes are put once, in ascending order of their numbers, and
/// never erased, so that RocksDB only moves them down and never writes them again. The index alone
/// says which of them are there; bytes that it does not name are waste, and go with the files that
/// hold nothing else (`ColdSpace`).

/// What the index says of one block; views are good until the visit returns.
struct ColdEntry {
  keys::ColdKey key;
  std::string_view directory, left;
};
/// Visits the blocks whose keys begin with `prefix`, in the order of (participant, set, number).
/// Error: throws StoreError.
void for_each_cold_block(const Database& database, std::string_view prefix,
                         const std::function<void(const ColdEntry&)>& visit);

/// Calls `use(block, key, value)` for each entry that has not left its block, by reading all bytes.
/// Memory: about 100 bytes a block. Error: throws StoreError, StateError.
void for_each_cold_entry(
    const Database& database,
    const std::function<void(const keys::ColdKey&, std::string_view, std::string_view)>& use);

/// Puts one participant's changes of cold blocks into `changes`.
void encode_cold(const Commit::Part& part, WriteSet& changes);

/// One participant's blocks, for itself. Borrows the database.
class StoredColdBlocks final : public ColdReader {
 public:
  StoredColdBlocks(const Database& database, std::string participant)
      : database_(database), participant_(std::move(participant)) {}
  std::vector<std::string> read(std::string_view set,
                                std::span<const std::uint64_t> numbers) override;

 private:
  const Database& database_;
  const std::string participant_;
};

/// Gives up the space of blocks that are gone, now and then: it costs a change of RocksDB's set of
/// files. Threads: that of the store's writer.
class ColdSpace {
 public:
  /// After `commit` is on the disk. Error: throws StoreError.
  void committed(const Commit& commit, Database& database);

 private:
  std::map<std::pair<std::string, std::string>, std::uint64_t> freed_;  // up to which number
};

}  // namespace millrace
