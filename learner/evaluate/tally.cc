#include "learner/evaluate/tally.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

// Seven bits a byte, the last without the eighth bit.
void put_count(std::uint64_t value, ByteWriter& writer) {
  for (; value >= 0x80; value >>= 7) writer.put(static_cast<std::uint8_t>(value | 0x80));
  writer.put(static_cast<std::uint8_t>(value));
}

std::uint64_t get_count(ByteReader& reader) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = reader.get<std::uint8_t>();
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  throw StateError("a saved count is too long");
}

// Sums of weights are mostly whole numbers: twice the number then, else 1 and the bits.
void put_weight(double value, ByteWriter& writer) {
  constexpr double kLargest = 1e15;
  if (value >= 0 && value < kLargest && value == std::floor(value) && !std::signbit(value)) {
    put_count(static_cast<std::uint64_t>(value) << 1, writer);
  } else {
    writer.put(std::uint8_t{1});
    writer.put(value);
  }
}

double get_weight(ByteReader& reader) {
  const std::uint64_t count = get_count(reader);
  if (count == 1) return reader.get<double>();
  return static_cast<double>(count >> 1);
}

}  // namespace

void Sums::add(const Sums& other) {
  rows += other.rows;
  positives += other.positives;
  binary.add(other.binary);
  squared.add(other.squared);
}

void Sums::save(ByteWriter& writer) const {
  put_count(rows, writer);
  put_count(positives, writer);
  for (const double sum :
       {binary.weight, binary.label, binary.prediction, binary.loss, squared.weight, squared.label,
        squared.prediction, squared.squares, squared.absolutes, squared.label_squares}) {
    put_weight(sum, writer);
  }
}

Sums Sums::restored(ByteReader& reader) {
  Sums sums;
  sums.rows = get_count(reader);
  sums.positives = get_count(reader);
  for (double* sum :
       {&sums.binary.weight, &sums.binary.label, &sums.binary.prediction, &sums.binary.loss,
        &sums.squared.weight, &sums.squared.label, &sums.squared.prediction, &sums.squared.squares,
        &sums.squared.absolutes, &sums.squared.label_squares}) {
    *sum = get_weight(reader);
  }
  return sums;
}

void Sums::fill(Figures& figures, bool is_binary) const {
  figures.rows = rows;
  figures.positives = positives;
  const double weight = is_binary ? binary.weight : squared.weight;
  if (weight > 0) {
    figures.label_sum = is_binary ? binary.label : squared.label;
    figures.prediction_sum = is_binary ? binary.prediction : squared.prediction;
    figures.label_mean = *figures.label_sum / weight;
    figures.prediction_mean = *figures.prediction_sum / weight;
  }
  if (is_binary) {
    figures.log_loss = binary.log_loss();
    figures.normalized_entropy = binary.normalized_entropy();
    figures.calibration = binary.calibration();
  } else {
    figures.rmse = squared.rmse();
    figures.mae = squared.mae();
    figures.explained = squared.explained();
  }
}

SparseTally SparseTally::merged(const SparseTally& a, const SparseTally& b) {
  SparseTally both;
  both.sums = a.sums;
  both.sums.add(b.sums);
  both.bins.reserve(a.bins.size() + b.bins.size());
  auto left = a.bins.begin(), right = b.bins.begin();
  while (left != a.bins.end() || right != b.bins.end()) {
    if (right == b.bins.end() || (left != a.bins.end() && left->bin < right->bin)) {
      both.bins.push_back(*left++);
    } else if (left == a.bins.end() || right->bin < left->bin) {
      both.bins.push_back(*right++);
    } else {
      both.bins.push_back({left->bin,
                           {left->counts.positives + right->counts.positives,
                            left->counts.negatives + right->counts.negatives}});
      ++left, ++right;
    }
  }
  return both;
}

void SparseTally::save(ByteWriter& writer) const {
  sums.save(writer);
  put_count(bins.size(), writer);
  int before = -1;
  for (const SparseBin& bin : bins) {
    put_count(static_cast<std::uint64_t>(bin.bin - before), writer);
    put_weight(bin.counts.positives, writer);
    put_weight(bin.counts.negatives, writer);
    before = bin.bin;
  }
}

SparseTally SparseTally::restored(ByteReader& reader) {
  SparseTally tally;
  tally.sums = Sums::restored(reader);
  const std::uint64_t count = get_count(reader);
  if (count > kAucBins) throw StateError("a saved histogram has too many bins");
  std::uint64_t at = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    at += get_count(reader);
    if (at == 0 || at > kAucBins) throw StateError("a saved histogram's bin is out of range");
    const double positives = get_weight(reader), negatives = get_weight(reader);
    tally.bins.push_back({static_cast<int>(at) - 1, {positives, negatives}});
  }
  return tally;
}

Tally::Tally(bool binary) : bins_(binary ? kAucBins : 0) {}

void Tally::add(const Measurement& m) {
  ++sums_.rows;
  if (!binary()) {
    sums_.squared.add(m.weight, m.label, m.prediction);
    return;
  }
  sums_.binary.add(m.weight, m.label, m.prediction, m.loss);
  BinCounts& bin = bins_[static_cast<std::size_t>(auc_bin(m.logit))];
  if (m.label > 0.5) {
    ++sums_.positives;
    bin.positives += m.weight;
  } else {
    bin.negatives += m.weight;
  }
}

void Tally::add(const SparseTally& other) {
  sums_.add(other.sums);
  if (!binary()) return;
  for (const SparseBin& sparse : other.bins) {
    BinCounts& bin = bins_[static_cast<std::size_t>(sparse.bin)];
    bin.positives += sparse.counts.positives;
    bin.negatives += sparse.counts.negatives;
  }
}

void Tally::clear() {
  sums_ = {};
  std::fill(bins_.begin(), bins_.end(), BinCounts{});
}

SparseTally Tally::sparse() const {
  SparseTally sparse;
  sparse.sums = sums_;
  for (std::size_t b = 0; b < bins_.size(); ++b) {
    if (bins_[b].positives != 0 || bins_[b].negatives != 0) {
      sparse.bins.push_back({static_cast<int>(b), bins_[b]});
    }
  }
  return sparse;
}

Figures Tally::figures() const {
  Figures figures;
  sums_.fill(figures, binary());
  if (!binary()) return figures;
  if (const auto auc = auc_of(bins_)) {
    figures.auc = auc->value;
    figures.auc_error = auc->error;
  }
  figures.calibration_error = calibration_error_of(bins_);
  return figures;
}

}  // namespace millrace
