#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/math/running_mean.h"

namespace millrace {

/// π_k: the share of rows that have the label of task k, per stream of batches: a plain mean to
/// 10,000 rows since the task is there, then fading with that length. What a partial batch's loss
/// is divided by is n · π_k, so that a rare task is not much stronger in a batch of one.
///
/// The mean of a task that had no label in its first 1,000 rows begins with its first one: a label
/// that comes after days, then in every row, would weigh thousands of times what it should.
class LabelShares {
 public:
  /// A task's share in one stream, and the rows that it is the mean of.
  struct Share {
    double rows = 0;
    double share = 0;
  };

  explicit LabelShares(int tasks) {
    for (std::vector<Share>& of : streams_) of.resize(static_cast<std::size_t>(tasks));
  }

  /// Takes in a batch of `rows` rows of which counts[k] have the label of task k.
  void add(Stream stream, double rows, std::span<const double> counts) {
    if (rows == 0) return;
    std::vector<Share>& of = streams_[static_cast<std::size_t>(stream)];
    for (std::size_t k = 0; k < counts.size(); ++k) {
      Share& mean = of[k];
      if (mean.share == 0 && mean.rows >= kWithoutLabel && counts[k] > 0) mean.rows = 0;
      const double weight = math::running_share(mean.rows, rows, kLength);
      mean.share += weight * (counts[k] / rows - mean.share);
      mean.rows = std::min(mean.rows + rows, kLength);
    }
  }
  double share(Stream stream, int task) const {
    return streams_[static_cast<std::size_t>(stream)][static_cast<std::size_t>(task)].share;
  }
  /// What the labels of rows of both streams are divided by, where they belong together: those of a
  /// short wait, of which an impression has some in one stream and some in the other. Else a label
  /// in the stream that is thin of them would be stronger than its counterpart in the other.
  /// Nothing where one stream has none of them.
  std::optional<double> share_of_both(int task) const {
    if (share(Stream::kMatured, task) == 0 || share(Stream::kAtOnce, task) == 0) return {};
    return std::max(share(Stream::kMatured, task), share(Stream::kAtOnce, task));
  }

  void save(ByteWriter& writer) const {
    for (const std::vector<Share>& of : streams_) {
      for (const Share& mean : of) {
        writer.put(mean.rows);
        writer.put(mean.share);
      }
    }
  }
  void restore(ByteReader& reader) {
    for (std::vector<Share>& of : streams_) {
      for (Share& mean : of) {
        mean.rows = reader.get<double>();
        mean.share = reader.get<double>();
      }
    }
  }

 private:
  static constexpr double kLength = 10'000, kWithoutLabel = 1'000;
  std::array<std::vector<Share>, kStreams> streams_;
};

}  // namespace millrace
