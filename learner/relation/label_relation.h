#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/schema.h"
#include "learner/relation/pairs.h"

namespace millrace {

/// How the tasks' labels go together, on the rows in which both are known, each by its row's
/// weight:
///
///   Pearson's correlation (φ, for two binary labels), of labels as they are learned (transformed)
///   mutual information Σ p(a,b) ln [p(a,b) / (p(a) p(b))], in nats
///
/// A label that is not binary has four classes for the latter: cut at its running mean and at
/// 0.6745 deviations to both sides of it, which are a normal label's quartiles. Sums are plain up
/// to `length` (weighted) rows of a pair, and fade from there. Memory: 48 bytes a pair, 8 for each
/// pair of classes where one label is not binary, and 11 KB a task. Threads: one at a time.
class LabelRelation {
 public:
  LabelRelation(const std::vector<Task>& tasks, double length);

  /// labels [n, T], NaN: not known; weights [n].
  void add(std::span<const float> labels, std::span<const float> weights);

  /// Nothing while one of the labels was always the same on common rows.
  std::optional<double> correlation(int i, int j) const;
  /// Nothing before the first common row.
  std::optional<double> mutual_information(int i, int j) const;

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  static constexpr int kClasses = 4;
  static constexpr int kTile = 256;  ///< Rows that are transposed together.
  /// Σ over common rows, labels less their task's shift; index 0: the task with the larger index.
  struct Sums {
    double weight = 0, product = 0;
    double label[2] = {}, square[2] = {};
  };
  /// One task's labels of a tile; what is missing, and what follows after the tile's rows, is 0.
  struct Column {
    std::array<double, kTile> known;     ///< 1 or 0
    std::array<double, kTile> weighted;  ///< known · row weight
    std::array<double, kTile> label;     ///< y − shift
    std::array<double, kTile> product;   ///< weighted · label
    std::array<double, kTile> square;    ///< product · label
    std::array<std::uint8_t, kTile> classes;
  };

  bool binary(int task) const { return binary_[static_cast<std::size_t>(task)]; }
  void take_shifts(std::span<const float> labels, std::span<const float> weights);
  void fill_columns(std::span<const float> labels, std::span<const float> weights);
  void add_tile(std::span<const float> labels, std::span<const float> weights);
  void classify(int task, std::size_t rows);
  void count_classes(int larger, int smaller, std::size_t rows);
  void fade(int i, int j);
  /// Weights of all pairs of classes, [classes of i, classes of j].
  std::vector<double> table(int i, int j) const;

  const double length_;
  std::vector<bool> binary_;
  std::vector<double> shifts_;  ///< The first known label of a task that is not binary; NaN: none.
  Pairs<Sums> sums_;
  Pairs<std::vector<double>> classes_;  ///< Empty for two binary tasks.
  std::vector<Column> columns_;         ///< Scratch.
};

}  // namespace millrace
