#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/publish/publication.h"

namespace millrace {

/// Names one set of weights: the sequence of the last durable commit and the number of publications
/// since. Printed "1287.3".
struct VersionNumber {
  std::uint64_t commit = 0;
  std::uint64_t publication = 0;
  friend auto operator<=>(const VersionNumber&, const VersionNumber&) = default;
};
std::string print_version(VersionNumber version);

/// The weights that scorers read. It is held twice: `apply` changes the side that no reader holds,
/// swaps, waits until the other side is left, and applies the same there. So readers never wait for
/// the publisher, and a reader sees one version from start to end.
///
/// A complete publication may be of another model (Publication::shape): a reader sees the model and
/// its weights change in one step.
///
/// Memory: twice the embedding weights (no optimiser state) and one dense block a version in use.
/// Threads: `apply` from one thread; everything else from any.
class ServingModel {
 public:
  explicit ServingModel(const Schema& schema);
  ~ServingModel();

  /// Makes `publication` visible as `version`. Returns once both sides have it, so after all
  /// readers of the version before have let go. Requires: the first one is complete and has dense
  /// weights.
  void apply(const Publication& publication, VersionNumber version);

  bool has_version() const;

  /// The version that is visible, in a model of its own. Requires: as `apply`, and has_version().
  std::shared_ptr<ServingModel> copy() const;

  /// A reader's hold on one side; short: until rows are gathered and `dense` is copied.
  class Pin {
   public:
    Pin(Pin&&) noexcept;
    Pin& operator=(Pin&&) = delete;
    ~Pin();
    VersionNumber version() const;
    EventTime seen() const;
    std::shared_ptr<const DenseWeights> dense() const;
    /// The model whose weights these are; null where no publication said.
    const std::shared_ptr<const ServedShape>& shape() const;
    /// The row of `key` in a table, [dimension], or null where it has none (the neutral row).
    const float* find(int table, std::uint64_t key) const;

   private:
    friend class ServingModel;
    struct Side;
    explicit Pin(const Side* side) : side_(side) {}
    const Side* side_;
  };
  /// Requires: has_version().
  Pin pin() const;

  /// Rows and bytes of one side's tables, after the last `apply`.
  std::uint64_t rows() const;
  std::uint64_t bytes() const;

 private:
  struct Sides;
  ServingModel();
  std::unique_ptr<Sides> sides_;
};

}  // namespace millrace
