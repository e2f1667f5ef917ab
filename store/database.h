#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// The column families: what each holds is in FORMAT.md.
enum class Family {
  kMeta,       ///< Schema version, last commit, sizes of what lives.
  kValues,     ///< Small state, written whole.
  kIndex,      ///< The size of each piece, so that an open store knows them without reading pieces.
  kBlocks,     ///< The pieces.
  kColdIndex,  ///< What is known of each cold block: its directory, and what has left it.
  kCold,       ///< The bytes of cold blocks.
};
inline constexpr int kFamilies = 6;

class Database;

/// Everything that one atomic write changes. Borrows the database.
class WriteSet {
 public:
  /// `bytes`: about how many will be put.
  explicit WriteSet(const Database& database, std::size_t bytes = 0);
  ~WriteSet();
  WriteSet(const WriteSet&) = delete;
  WriteSet& operator=(const WriteSet&) = delete;

  /// The value is `parts`, one after another; copied.
  void put(Family family, std::string_view key, std::initializer_list<std::string_view> parts);
  void erase(Family family, std::string_view key);
  std::uint64_t bytes() const;

 private:
  friend class Database;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// RocksDB as the store uses it: six families of ordered keys, synced atomic writes, checkpoints.
/// No other file knows RocksDB. Every failure is thrown as StoreError, a held lock as
/// StoreLockedError, damage as StoreDamagedError, a full disk as StoreFullError; all name the
/// folder. Checksums of every block, log record and list of files are verified as they are read.
///
/// An object that failed to write, or whose background work failed, is done with: it is closed and
/// opened again. RocksDB's own ways to go on after an error are switched off.
///
/// Tuned for few large values: uncompressed (floats and keys), 64 MiB write buffers, a bounded
/// write-ahead log. Memory: about 256 MiB of write buffers at most, and 1 % of what cold blocks
/// take.
/// Threads: reads, `write` and `checkpoint` from any.
class Database {
 public:
  enum class Access { kWrite, kRead };
  /// kWrite creates what is missing. kRead changes nothing, sees the state at the moment of the
  /// call, and works beside a process that writes; tries again while that one replaces files.
  static std::unique_ptr<Database> open(const std::string& folder, Access access);
  ~Database();

  std::optional<std::string> get(Family family, std::string_view key) const;

  /// The values of `keys`, in the same order; reads them together. Error: also where one is
  /// missing.
  std::vector<std::string> get_all(Family family, std::span<const std::string> keys) const;

  /// Calls `visit` for each entry whose key begins with `prefix`, in the order of the keys, as of
  /// one moment; the views are good until it returns.
  using Visit = std::function<void(std::string_view key, std::string_view value)>;
  void scan(Family family, std::string_view prefix, const Visit& visit) const;
  /// All entries of a family in descending order of their keys.
  void scan_back(Family family, const Visit& visit) const;

  /// Writes and syncs. Throws also where RocksDB's own work (moving files, merging them) has failed
  /// since it was opened. Requires: opened with kWrite.
  void write(WriteSet& changes);

  /// Frees what lies in files that hold nothing but keys in [begin, end): of a family in which keys
  /// are put in ascending order and never erased, so that its files are only moved, not rewritten.
  /// What lies in other files stays. Requires: nothing in the range is asked for any more.
  void drop_files(Family family, std::string_view begin, std::string_view end);

  /// Makes `folder` (which must not exist) a copy of the database by hard links, as of one moment.
  void checkpoint(const std::string& folder);

 private:
  friend class WriteSet;
  struct Parts;
  explicit Database(std::unique_ptr<Parts> parts);
  static std::unique_ptr<Database> open_once(const std::string& folder, Access access);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
