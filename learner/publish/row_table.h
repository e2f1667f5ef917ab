#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace millrace {

/// The rows of one embedding table as they are served: key → weights [dimension]. Keys are exact:
/// two keys never share a row. Rows keep their address for life; the index alone grows by copying.
///
/// Open addressing with linear probing at a load of at most 5/8; an erasure moves the following
/// entries back (Knuth, TAOCP 3, 6.4, algorithm R), so that there are no tombstones and a table
/// that lives for weeks probes as a new one.
/// Memory: 16 B a slot, and rows in chunks; freed rows are used again.
/// Threads: any number that read, or one that writes.
class RowTable {
 public:
  /// Requires: dimension > 0.
  explicit RowTable(int dimension);

  /// The row of `key`, [dimension], or null where it has none. Valid until `erase` or `clear`.
  /// kMissingKey has none. Cost: O(1) expected, two cache misses.
  const float* find(std::uint64_t key) const;

  /// The row of `key`, added (with whatever it holds) if it has none. Requires: key ≠ kMissingKey.
  float* insert(std::uint64_t key);

  /// Puts rows [keys, dimension] for many keys at once. Requires: no key is kMissingKey.
  void put(std::span<const std::uint64_t> keys, const float* rows);

  /// Does nothing where there is no such row.
  void erase(std::uint64_t key);

  /// Forgets all rows and gives their memory back.
  void clear();

  /// Takes over all rows of `other`. Requires: the same dimension.
  void copy(const RowTable& other);

  /// Makes room for `rows` in all, so that no `insert` up to there has to grow the index.
  void reserve(std::size_t rows);

  std::size_t rows() const { return rows_; }
  std::size_t bytes() const;
  int dimension() const { return dimension_; }

 private:
  struct Slot {
    std::uint64_t key = 0;  // kMissingKey: free
    std::uint32_t row = 0;
  };
  static constexpr std::size_t kChunkRows = 1024;

  std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> shift_);
  }
  float* row_at(std::uint32_t row) const {
    return chunks_[row / kChunkRows].get() +
           (row % kChunkRows) * static_cast<std::size_t>(dimension_);
  }
  void add_chunk();
  std::uint32_t take_row();
  void rehash(std::size_t slots);

  const int dimension_;
  int shift_ = 0;  // 64 − log2(slots)
  std::size_t rows_ = 0;
  std::uint32_t next_row_ = 0;  // Rows beyond were never used.
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<float[]>> chunks_;
  std::vector<std::uint32_t> free_rows_;
};

}  // namespace millrace
