#include "learner/evaluate/importance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"

namespace millrace {
namespace {

constexpr double kLength = 10'000;
constexpr std::string_view kValue = "evaluate/importance";

}  // namespace

Importance::Importance(const Schema& schema, const ImportanceOptions& options)
    : schema_(schema),
      options_(options),
      tasks_(static_cast<int>(schema.tasks().size())),
      features_(static_cast<int>(schema.features().size())),
      means_(static_cast<std::size_t>(tasks_) * static_cast<std::size_t>(features_)),
      ids_(static_cast<std::size_t>(features_)) {
  const auto& keys = schema.key_features();
  for (std::size_t column = 0; column < keys.size(); ++column) {
    const auto feature = static_cast<std::size_t>(keys[column]);
    const FeatureKind kind = schema.features()[feature].kind;
    const bool bag = kind == FeatureKind::kBag;
    if ((kind != FeatureKind::kCategorical && !bag) || options.ids == 0) continue;
    ids_[feature].column = static_cast<int>(column);
    ids_[feature].bag = bag;
  }
}

int Importance::rows_of(const Batch& batch) const { return std::min(options_.rows, batch.rows); }

void Importance::take(int task, View<const float> x, View<const float> dx,
                      std::span<const double> slope) {
  const int inputs = schema_.inputs();
  MILLRACE_CHECK(dx.has_shape(x.rows, x.cols) && x.cols % inputs == 0);
  const bool is_loss = options_.measure == ImportanceMeasure::kLoss;
  MILLRACE_CHECK(!is_loss || slope.size() == static_cast<std::size_t>(x.rows));
  const auto T = static_cast<std::size_t>(tasks_), F = static_cast<std::size_t>(features_);
  values_.resize(static_cast<std::size_t>(x.rows) * F * T);
  for (int r = 0; r < x.rows; ++r) {
    for (int f = 0; f < features_; ++f) {
      double sum = 0;
      for (int block = 0; block < x.cols; block += inputs) {
        const int first = block + schema_.input_offset(f);
        for (int d = first; d < first + schema_.input_width(f); ++d) {
          sum += options_.measure == ImportanceMeasure::kGradient
                     ? std::fabs(double{dx(r, d)})
                     : double{x(r, d)} * double{dx(r, d)};
        }
      }
      if (is_loss) sum *= slope[static_cast<std::size_t>(r)];
      const std::size_t row = static_cast<std::size_t>(r) * F + static_cast<std::size_t>(f);
      values_[row * T + static_cast<std::size_t>(task)] = std::fabs(sum);
    }
  }
}

void Importance::take_elements(int task, const Batch& batch, View<const float> dx,
                               std::span<const double> slope, const RowOf& row_of) {
  const bool is_loss = options_.measure == ImportanceMeasure::kLoss;
  const auto T = static_cast<std::size_t>(tasks_), k = static_cast<std::size_t>(task);
  for (int f = 0; f < features_; ++f) {
    Ids& ids = ids_[static_cast<std::size_t>(f)];
    if (!ids.bag) continue;
    const KeyColumn& column = batch.columns[static_cast<std::size_t>(ids.column)];
    const auto rows = static_cast<std::size_t>(dx.rows);
    ids.elements.resize((rows == 0 ? 0 : column.ends[rows - 1]) * T);
    const bool mean = schema_.features()[static_cast<std::size_t>(f)].pooling == Pooling::kMean;
    std::size_t element = 0;
    for (int r = 0; r < dx.rows; ++r) {
      const std::size_t end = column.ends[static_cast<std::size_t>(r)];
      const double share = mean && end > element ? 1.0 / static_cast<double>(end - element) : 1;
      const float* const slopes = dx.row(r) + schema_.input_offset(f);
      for (; element < end; ++element) {
        const float* const row = row_of(f, column.keys[element]);
        double sum = 0;
        for (int d = 0; row != nullptr && d < schema_.input_width(f); ++d) {
          sum += options_.measure == ImportanceMeasure::kGradient
                     ? std::fabs(double{slopes[d]})
                     : double{row[d]} * double{slopes[d]};
        }
        if (is_loss) sum *= slope[static_cast<std::size_t>(r)];
        ids.elements[element * T + k] = std::fabs(share * sum);
      }
    }
  }
}

void Importance::add_elements(Ids& ids, const Batch& batch, std::size_t row, double weight) {
  const KeyColumn& column = batch.columns[static_cast<std::size_t>(ids.column)];
  const auto T = static_cast<std::size_t>(tasks_);
  if (ids.elements.empty()) return;
  for (std::size_t e = row == 0 ? 0 : column.ends[row - 1]; e < column.ends[row]; ++e) {
    if (column.keys[e] == kMissingKey) continue;
    add_id(ids, column.keys[e], weight, ids.elements.data() + e * T);
  }
}

void Importance::add(const Batch& batch) {
  const int rows = rows_of(batch);
  const auto T = static_cast<std::size_t>(tasks_), F = static_cast<std::size_t>(features_);
  MILLRACE_CHECK(values_.size() == static_cast<std::size_t>(rows) * F * T);
  const auto& weights = batch.measure_weights.empty() ? batch.weights : batch.measure_weights;
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    const double weight = weights[r];
    if (!(weight > 0)) continue;
    for (std::size_t f = 0; f < F; ++f) {
      const double* const values = values_.data() + (r * F + f) * T;
      for (std::size_t k = 0; k < T; ++k) {
        if (!std::isfinite(values[k])) continue;
        Mean& mean = means_[f * T + k];
        mean.value += math::running_share(mean.weight, weight, kLength) * (values[k] - mean.value);
        mean.weight = std::min(mean.weight + weight, kLength);
      }
      Ids& ids = ids_[f];
      if (ids.column < 0) continue;
      if (ids.bag) {
        add_elements(ids, batch, r, weight);
        continue;
      }
      const std::uint64_t key = batch.columns[static_cast<std::size_t>(ids.column)].keys[r];
      if (key != kMissingKey) add_id(ids, key, weight, values);
    }
    ++rows_;
  }
  for (Ids& ids : ids_) ids.elements.clear();
  changed_ = true;
}

void Importance::add_id(Ids& ids, std::uint64_t key, double weight, const double* values) {
  auto found = std::find_if(ids.entries.begin(), ids.entries.end(),
                            [key](const Id& id) { return id.key == key; });
  if (found == ids.entries.end()) {
    Id fresh;
    fresh.key = key;
    fresh.weights.resize(static_cast<std::size_t>(tasks_));
    fresh.sums.resize(static_cast<std::size_t>(tasks_));
    if (ids.entries.size() < 4 * static_cast<std::size_t>(options_.ids)) {
      found = ids.entries.insert(ids.entries.end(), std::move(fresh));
    } else {
      found =
          std::min_element(ids.entries.begin(), ids.entries.end(), [](const Id& a, const Id& b) {
            const double x = a.floor + a.total, y = b.floor + b.total;
            return x != y ? x < y : a.key < b.key;
          });
      fresh.floor = found->floor + found->total;
      *found = std::move(fresh);
    }
  }
  for (std::size_t k = 0; k < static_cast<std::size_t>(tasks_); ++k) {
    if (!std::isfinite(values[k])) continue;
    found->weights[k] += weight;
    found->sums[k] += weight * values[k];
    found->total += weight * values[k];
  }
  ids.weight += weight;
  if (ids.weight < 2 * kLength) return;
  ids.weight /= 2;
  for (Id& id : ids.entries) {
    id.floor /= 2;
    id.total /= 2;
    for (double& value : id.weights) value /= 2;
    for (double& value : id.sums) value /= 2;
  }
}

ImportanceReport Importance::report() const {
  ImportanceReport report;
  if (options_.every == 0) return report;
  report.rows = rows_;
  const auto T = static_cast<std::size_t>(tasks_);
  constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t f = 0; f < ids_.size(); ++f) {
    FeatureImportance& feature = report.features.emplace_back();
    feature.name = schema_.features()[f].name;
    for (std::size_t k = 0; k < T; ++k) {
      const Mean& mean = means_[f * T + k];
      feature.values.push_back(mean.weight > 0 ? mean.value : kUnknown);
    }
    std::vector<const Id*> order;
    for (const Id& id : ids_[f].entries) order.push_back(&id);
    std::sort(order.begin(), order.end(), [](const Id* a, const Id* b) {
      return a->total != b->total ? a->total > b->total : a->key < b->key;
    });
    order.resize(std::min(order.size(), static_cast<std::size_t>(options_.ids)));
    for (const Id* id : order) {
      IdImportance& told = feature.ids.emplace_back();
      told.key = id->key;
      for (std::size_t k = 0; k < T; ++k) {
        told.weight = std::max(told.weight, id->weights[k]);
        told.values.push_back(id->weights[k] > 0 ? id->sums[k] / id->weights[k] : kUnknown);
      }
    }
  }
  return report;
}

// What the numbers are of; those of something else are passed over.
std::string Importance::stamp() const {
  std::string stamp(choice_name(options_.measure));
  for (const Feature& feature : schema_.features()) stamp += '\n' + feature.name;
  for (const Task& task : schema_.tasks()) stamp += '\n' + task.name;
  return stamp;
}

void Importance::save(StateChanges& changes) {
  if (!changed_) return;
  changed_ = false;
  ByteWriter writer;
  writer.put_text(stamp());
  writer.put(rows_);
  for (const Mean& mean : means_) {
    writer.put(mean.weight);
    writer.put(mean.value);
  }
  for (const Ids& ids : ids_) {
    writer.put(ids.weight);
    writer.put(static_cast<std::uint32_t>(ids.entries.size()));
    for (const Id& id : ids.entries) {
      writer.put(id.key);
      writer.put(id.floor);
      writer.put(id.total);
      for (const double weight : id.weights) writer.put(weight);
      for (const double sum : id.sums) writer.put(sum);
    }
  }
  changes.values.push_back({std::string(kValue), writer.take()});
}

bool Importance::restore(std::string_view name, std::string_view bytes) {
  if (name != kValue) return false;
  ByteReader reader(bytes);
  if (options_.every == 0 || reader.get_text() != stamp()) return true;
  rows_ = reader.get<std::uint64_t>();
  for (Mean& mean : means_) {
    mean.weight = reader.get<double>();
    mean.value = reader.get<double>();
  }
  for (Ids& ids : ids_) {
    ids.weight = reader.get<double>();
    ids.entries.clear();
    for (auto count = reader.get<std::uint32_t>(); count > 0; --count) {
      Id& id = ids.entries.emplace_back();
      id.key = reader.get<std::uint64_t>();
      id.floor = reader.get<double>();
      id.total = reader.get<double>();
      for (int k = 0; k < tasks_; ++k) id.weights.push_back(reader.get<double>());
      for (int k = 0; k < tasks_; ++k) id.sums.push_back(reader.get<double>());
    }
    // Fewer may be kept now than when it was saved.
    const std::size_t most = ids.column < 0 ? 0 : 4 * static_cast<std::size_t>(options_.ids);
    if (ids.entries.size() > most) ids.entries.resize(most);
  }
  if (!reader.at_end()) throw StateError("saved importance has a wrong size");
  changed_ = false;
  return true;
}

}  // namespace millrace
