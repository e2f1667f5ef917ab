#include "learner/relation/label_relation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learner/base/check.h"

namespace millrace {

namespace {

constexpr double kQuartile = 0.674489750196;  // of the normal distribution

// Σ a b, in eight sums that the compiler can hold side by side: the same bits on every machine.
template <std::size_t N>
double dot(const std::array<double, N>& a, const std::array<double, N>& b, std::size_t rows) {
  static_assert(N % 8 == 0);
  double sums[8] = {};
  for (std::size_t i = 0; i < rows; i += 8) {
    for (std::size_t l = 0; l < 8; ++l) sums[l] += a[i + l] * b[i + l];
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

LabelRelation::LabelRelation(const std::vector<Task>& tasks, double length)
    : length_(length),
      shifts_(tasks.size()),
      sums_(static_cast<int>(tasks.size())),
      classes_(static_cast<int>(tasks.size())),
      columns_(tasks.size()) {
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    binary_.push_back(tasks[k].kind == TaskKind::kBinary);
    if (!binary_[k]) shifts_[k] = std::numeric_limits<double>::quiet_NaN();
  }
  for (int i = 0; i < sums_.tasks(); ++i) {
    for (int j = 0; j <= i; ++j) {
      if (binary(i) && binary(j)) continue;
      classes_(i, j).resize(
          static_cast<std::size_t>((binary(i) ? 2 : kClasses) * (binary(j) ? 2 : kClasses)));
    }
  }
}

// Sums of labels that lie far from 0 would lose the digits in which they differ.
void LabelRelation::take_shifts(std::span<const float> labels, std::span<const float> weights) {
  const std::size_t T = shifts_.size();
  for (std::size_t k = 0; k < T; ++k) {
    for (std::size_t r = 0; std::isnan(shifts_[k]) && r < weights.size(); ++r) {
      if (weights[r] > 0) shifts_[k] = labels[r * T + k];
    }
  }
}

void LabelRelation::add(std::span<const float> labels, std::span<const float> weights) {
  const std::size_t T = shifts_.size();
  MILLRACE_CHECK(labels.size() == weights.size() * T);
  take_shifts(labels, weights);
  for (std::size_t first = 0; first < weights.size(); first += kTile) {
    const std::size_t count = std::min<std::size_t>(kTile, weights.size() - first);
    add_tile(labels.subspan(first * T, count * T), weights.subspan(first, count));
  }
}

void LabelRelation::fill_columns(std::span<const float> labels, std::span<const float> weights) {
  const std::size_t T = shifts_.size(), padded = (weights.size() + 7) / 8 * 8;
  for (std::size_t k = 0; k < T; ++k) {
    Column& column = columns_[k];
    for (std::size_t r = 0; r < padded; ++r) {
      const bool inside = r < weights.size() && weights[r] > 0;
      const bool known = inside && !std::isnan(labels[r * T + k]);
      column.known[r] = known ? 1 : 0;
      column.weighted[r] = known ? weights[r] : 0;
      column.label[r] = known ? labels[r * T + k] - shifts_[k] : 0;
      column.product[r] = column.weighted[r] * column.label[r];
      column.square[r] = column.product[r] * column.label[r];
    }
  }
}

void LabelRelation::add_tile(std::span<const float> labels, std::span<const float> weights) {
  fill_columns(labels, weights);
  const std::size_t rows = weights.size();
  for (int i = 0; i < sums_.tasks(); ++i) {
    const Column& a = columns_[static_cast<std::size_t>(i)];
    for (int j = i; j >= 0; --j) {  // With itself first: a task's classes follow from its moments.
      const Column& b = columns_[static_cast<std::size_t>(j)];
      Sums& sums = sums_(i, j);
      sums.weight += dot(a.weighted, b.known, rows);
      sums.product += dot(a.product, b.label, rows);
      sums.label[0] += dot(a.product, b.known, rows);
      sums.label[1] += dot(b.product, a.known, rows);
      // The square of a binary label is the label.
      if (!binary(i)) sums.square[0] += dot(a.square, b.known, rows);
      if (!binary(j)) sums.square[1] += dot(b.square, a.known, rows);
      if (i == j) classify(i, rows);
      if (!classes_(i, j).empty()) count_classes(i, j, rows);
      fade(i, j);
    }
  }
}

void LabelRelation::classify(int task, std::size_t rows) {
  Column& column = columns_[static_cast<std::size_t>(task)];
  const Sums& own = sums_(task, task);
  const double mean = own.weight > 0 ? own.label[0] / own.weight : 0;
  const double variance = own.weight > 0 ? own.square[0] / own.weight - mean * mean : 0;
  const double cut = kQuartile * std::sqrt(std::max(variance, 0.0));
  for (std::size_t r = 0; r < rows; ++r) {
    const double y = column.label[r];
    const int of =
        binary(task) ? (y > 0.5 ? 1 : 0) : (y > mean - cut) + (y > mean) + (y > mean + cut);
    column.classes[r] = static_cast<std::uint8_t>(of);
  }
}

void LabelRelation::count_classes(int larger, int smaller, std::size_t rows) {
  const Column& a = columns_[static_cast<std::size_t>(larger)];
  const Column& b = columns_[static_cast<std::size_t>(smaller)];
  std::vector<double>& counts = classes_(larger, smaller);
  const std::size_t side = binary(smaller) ? 2 : kClasses;
  for (std::size_t r = 0; r < rows; ++r) {
    counts[a.classes[r] * side + b.classes[r]] += a.weighted[r] * b.known[r];
  }
}

void LabelRelation::fade(int i, int j) {
  Sums& sums = sums_(i, j);
  if (sums.weight <= length_) return;
  const double share = length_ / sums.weight;
  for (double* value : {&sums.weight, &sums.product, &sums.label[0], &sums.label[1],
                        &sums.square[0], &sums.square[1]}) {
    *value *= share;
  }
  for (double& count : classes_(i, j)) count *= share;
}

std::optional<double> LabelRelation::correlation(int i, int j) const {
  const Sums& sums = sums_(i, j);
  if (!(sums.weight > 0)) return std::nullopt;
  const int larger = std::max(i, j), smaller = std::min(i, j);
  const double a = sums.label[0] / sums.weight, b = sums.label[1] / sums.weight;
  const double aa = (binary(larger) ? sums.label[0] : sums.square[0]) / sums.weight - a * a;
  const double bb = (binary(smaller) ? sums.label[1] : sums.square[1]) / sums.weight - b * b;
  const double least = 1e-12;
  if (!(aa > least * (a * a + 1e-300)) || !(bb > least * (b * b + 1e-300))) return std::nullopt;
  return std::clamp((sums.product / sums.weight - a * b) / std::sqrt(aa * bb), -1.0, 1.0);
}

std::vector<double> LabelRelation::table(int i, int j) const {
  const Sums& sums = sums_(i, j);
  if (!classes_(i, j).empty()) return classes_(i, j);
  const double both = sums.product;
  std::vector<double> counts{sums.weight - sums.label[0] - sums.label[1] + both,
                             sums.label[1] - both, sums.label[0] - both, both};
  for (double& count : counts) count = std::max(count, 0.0);  // Fading may leave less than nothing.
  return counts;
}

std::optional<double> LabelRelation::mutual_information(int i, int j) const {
  const std::vector<double> counts = table(i, j);
  const std::size_t cols = binary(std::min(i, j)) ? 2 : kClasses, rows = counts.size() / cols;
  std::vector<double> row_sums(rows), col_sums(cols);
  double all = 0;
  for (std::size_t a = 0; a < rows; ++a) {
    for (std::size_t b = 0; b < cols; ++b) {
      const double count = counts[a * cols + b];
      row_sums[a] += count;
      col_sums[b] += count;
      all += count;
    }
  }
  if (!(all > 0)) return std::nullopt;
  double information = 0;
  for (std::size_t a = 0; a < rows; ++a) {
    for (std::size_t b = 0; b < cols; ++b) {
      const double count = counts[a * cols + b];
      if (count > 0) information += count / all * std::log(count / row_sums[a] * all / col_sums[b]);
    }
  }
  return std::max(information, 0.0);
}

void LabelRelation::save(ByteWriter& writer) const {
  for (const double shift : shifts_) writer.put(shift);
  for (const Sums& sums : sums_.values()) {
    for (const double value : {sums.weight, sums.product, sums.label[0], sums.label[1],
                               sums.square[0], sums.square[1]}) {
      writer.put(value);
    }
  }
  for (const std::vector<double>& counts : classes_.values()) {
    for (const double count : counts) writer.put(count);
  }
}

void LabelRelation::restore(ByteReader& reader) {
  for (double& shift : shifts_) shift = reader.get<double>();
  for (Sums& sums : sums_.values()) {
    for (double* value : {&sums.weight, &sums.product, &sums.label[0], &sums.label[1],
                          &sums.square[0], &sums.square[1]}) {
      *value = read_relation(reader);
    }
    if (sums.weight < 0) throw StateError("the saved relations are out of their range");
  }
  for (std::vector<double>& counts : classes_.values()) {
    for (double& count : counts) count = read_relation(reader);
  }
}

}  // namespace millrace
