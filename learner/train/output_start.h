#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/publish/publication.h"

namespace millrace {

/// What the outputs know of their labels: whether their bias was set from the first batch that had
/// some, and the range of transformed labels that served values are clamped to.
class OutputStart {
 public:
  /// Borrows `schema`.
  explicit OutputStart(const Schema& schema)
      : schema_(schema),
        started_(schema.tasks().size()),
        seen_(schema.tasks().size()),
        ranges_(schema.tasks().size()) {}

  /// Where task k is to start with this batch: for a binary task the log odds of its base rate,
  /// log((P + ½) / (N − P + ½)), for a count the logarithm of the mean (of at least half a count
  /// in all), else the mean label, over the rows whose label is known, tells of all rows and whose
  /// condition holds, by their weights. Nothing where it has started already, or the batch has no
  /// such row.
  std::optional<float> start(const Batch& batch, int task) const;

  /// Takes in a batch that was trained on: the first biases and the labels of the tasks that
  /// learned from it (by task, 1).
  void add(const Batch& batch, std::span<const std::uint8_t> learns);

  /// No first bias is set any more: the outputs start from given weights.
  void start_as_given();

  /// Of the transformed labels of task k; {0, 0} before any.
  const std::vector<LabelRange>& ranges() const { return ranges_; }
  /// What the output z of a task that is not binary says, in the label's units, within the range
  /// of labels seen; as it is before any label.
  double value(float z, int task) const;

  void save(ByteWriter& writer) const;
  void restore(ByteReader& reader);

 private:
  bool tells_base_rate(const Batch& batch, std::size_t row, int task) const;

  const Schema& schema_;
  std::vector<std::uint8_t> started_, seen_;
  std::vector<LabelRange> ranges_;
};

}  // namespace millrace
