#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/math/running_mean.h"

namespace millrace {

/// π_k: the share of rows that have the label of task k, per stream of batches: a plain mean to
/// 10,000 rows, then fading with that length. What a partial batch's loss is divided by is n · π_k,
/// so that a rare task is not much stronger in a batch of one.
class LabelShares {
 public:
  explicit LabelShares(int tasks) {
    for (Of& of : streams_) of.share.resize(static_cast<std::size_t>(tasks));
  }

  /// Takes in a batch of `rows` rows of which counts[k] have the label of task k.
  void add(Stream stream, double rows, std::span<const double> counts) {
    Of& of = streams_[static_cast<std::size_t>(stream)];
    const double weight = math::running_share(of.rows, rows, kLength);
    for (std::size_t k = 0; k < counts.size(); ++k) {
      of.share[k] += weight * (counts[k] / rows - of.share[k]);
    }
    of.rows = std::min(of.rows + rows, kLength);
  }
  double share(Stream stream, int task) const {
    return streams_[static_cast<std::size_t>(stream)].share[static_cast<std::size_t>(task)];
  }

  void save(ByteWriter& writer) const {
    for (const Of& of : streams_) {
      writer.put(of.rows);
      for (const double share : of.share) writer.put(share);
    }
  }
  void restore(ByteReader& reader) {
    for (Of& of : streams_) {
      of.rows = reader.get<double>();
      for (double& share : of.share) share = reader.get<double>();
    }
  }

 private:
  static constexpr double kLength = 10'000;
  struct Of {
    double rows = 0;
    std::vector<double> share;
  };
  std::array<Of, kStreams> streams_;
};

}  // namespace millrace
