#pragma once

#include <algorithm>

namespace millrace {

/// How a batch of rows is cut for the threads of a step: a function of the rows alone, so that the
/// bits do not depend on the number of threads. Each chunk has its own gradient buffer; inside a
/// chunk, tiles of rows go through the whole net, forward and backward, while they are in the
/// cache.
struct Chunks {
  static constexpr int kMost = 4;     ///< Threads that a batch keeps busy.
  static constexpr int kLeast = 128;  ///< Rows worth a buffer of their own.
  /// Rows from which on it pays to prepare the weights once (prepared_weights.h).
  static constexpr int kPrepared = 256;

  /// Rows that go through a net of so many parameters together. Few, while the weights stay in the
  /// second-level cache from tile to tile and leave room for the activations of a tile; of larger
  /// nets each tile reads all weights anew, so that many rows should share them.
  static int tile(long parameters) { return parameters < 200'000 ? 128 : 256; }

  int rows;
  int count;
  int rows_per_chunk;

  explicit Chunks(int rows_)
      : rows(rows_),
        count(std::min(kMost, (rows_ + kLeast - 1) / kLeast)),
        rows_per_chunk(((rows_ + count - 1) / count + 7) / 8 * 8) {}

  /// The rows of chunk c: [begin(c), end(c)). The last ones may be short or empty.
  int begin(int c) const { return std::min(rows, c * rows_per_chunk); }
  int end(int c) const { return begin(c + 1); }
  /// Those that are not empty.
  int used() const {
    return rows_per_chunk == 0 ? 0 : (rows + rows_per_chunk - 1) / rows_per_chunk;
  }
};

}  // namespace millrace
