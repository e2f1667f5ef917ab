#include "learner/publish/scorer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "learner/base/check.h"
#include "learner/device/devices.h"
#include "learner/device/threads.h"
#include "learner/layers/running_moments.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/publish/served_logits.h"
#include "learner/publish/served_value.h"

namespace millrace {
namespace {

constexpr int kTileRows = 256;
// What one unusually large request needed is given back after it.
constexpr std::size_t kKeptValues = std::size_t{1} << 20;

// Where the parts of x come from, of one of its two sides: the context's or the candidates'
// columns.
struct Side {
  struct Keys {
    std::size_t column;  // of the batch
    int table;
    int offset;  // in this side's part of x
    int dimension;
    Pooling pooling;
    bool given;          // the request has its values
    const Cross* cross;  // or null
  };
  struct Number {
    std::size_t index;  // among the numeric features
    int offset;
    bool standardised;
  };
  struct Vector {
    std::size_t from;  // in a row of Batch::dense
    int offset;
    int width;
  };
  std::vector<Keys> keys;
  std::vector<Number> numbers;
  std::vector<Vector> vectors;
};

Side side_of(const Schema& schema, bool context, int first_column) {
  Side side;
  const auto add = [&](int f, const Cross* cross) {
    const Feature& feature = schema.features()[static_cast<std::size_t>(f)];
    if (feature.context != context) return;
    side.keys.push_back({static_cast<std::size_t>(schema.column_of(f)), schema.table_of(f),
                         schema.input_offset(f) - first_column, feature.dimension, feature.pooling,
                         cross == nullptr && feature.kind != FeatureKind::kNumeric, cross});
  };
  for (const int f : schema.key_features()) {
    if (!schema.is_cross(f)) add(f, nullptr);
  }
  for (const Cross& cross : schema.crosses()) add(cross.feature, &cross);
  std::size_t number = 0, vector = 0;
  for (const int f : schema.numeric_features()) {
    const Feature& feature = schema.features()[static_cast<std::size_t>(f)];
    const int offset = schema.input_offset(f) - first_column;
    if (feature.context == context) side.numbers.push_back({number, offset, feature.standardize});
    ++number;
  }
  for (const int f : schema.dense_features()) {
    const Feature& feature = schema.features()[static_cast<std::size_t>(f)];
    const int offset = schema.input_offset(f) - first_column;
    if (feature.context == context) side.vectors.push_back({vector, offset, feature.width});
    vector += static_cast<std::size_t>(feature.width);
  }
  return side;
}

// Adds the rows of one feature's keys, each times `share`, as learner/embedding/pooling does.
void pool_keys(const ServingModel::Pin& pin, const Side::Keys& part,
               std::span<const std::uint64_t> keys, float share, float* out, Scores& scores) {
  std::fill_n(out, part.dimension, 0.0F);
  for (const std::uint64_t key : keys) {
    if (key == kMissingKey) continue;
    const float* row = pin.find(part.table, key);
    if (part.given) {
      ++scores.keys;
      scores.unknown_keys += row == nullptr ? 1 : 0;
    }
    if (row == nullptr) continue;
    for (int d = 0; d < part.dimension; ++d) out[d] += share * row[d];
  }
}

// A cross of row r of `batch`, which is the context itself or has the candidates' parts.
std::uint64_t cross_of(const Schema& schema, const Cross& cross, const Batch& context,
                       const Batch& batch, int r) {
  CrossKey key(cross.seed);
  for (std::size_t p = 0; p < cross.parts.size(); ++p) {
    const bool of_context = schema.features()[static_cast<std::size_t>(cross.parts[p])].context;
    const auto column = static_cast<std::size_t>(cross.columns[p]);
    key.add(of_context ? context.columns[column].keys[0]
                       : batch.columns[column].keys[static_cast<std::size_t>(r)]);
  }
  return key.key();
}

void gather_keys(const ServingModel::Pin& pin, const Schema& schema, const Side& side,
                 const Batch& context, const Batch& batch, View<float> x, Scores& scores) {
  for (const Side::Keys& part : side.keys) {
    if (part.cross != nullptr) {
      for (int r = 0; r < x.rows; ++r) {
        const std::uint64_t key = cross_of(schema, *part.cross, context, batch, r);
        pool_keys(pin, part, {&key, 1}, 1, x.row(r) + part.offset, scores);
      }
      continue;
    }
    const KeyColumn& column = batch.columns[part.column];
    const std::span<const std::uint64_t> keys(column.keys);
    const bool is_bag = !column.ends.empty();
    MILLRACE_CHECK((is_bag ? column.ends.size() : keys.size()) == static_cast<std::size_t>(x.rows));
    std::size_t first = 0;
    for (int r = 0; r < x.rows; ++r) {
      const std::size_t last = is_bag ? column.ends[static_cast<std::size_t>(r)] : first + 1;
      const std::size_t count = last - first;
      const bool shared = is_bag && part.pooling == Pooling::kMean && count > 0;
      const float share = shared ? 1 / static_cast<float>(count) : 1;
      pool_keys(pin, part, keys.subspan(first, count), share, x.row(r) + part.offset, scores);
      first = last;
    }
  }
}

void gather_numbers(const Side& side, const Schema& schema, const DenseWeights& dense,
                    const Batch& batch, View<float> x) {
  const std::size_t numbers = schema.numeric_features().size();
  const auto width = static_cast<std::size_t>(schema.dense_width());
  for (int r = 0; r < x.rows; ++r) {
    const auto row = static_cast<std::size_t>(r);
    float* out = x.row(r);
    for (const Side::Number& part : side.numbers) {
      const float value = batch.numeric[row * numbers + part.index];
      const Standardisation& seen = dense.numeric[part.index];
      const float plain = std::isnan(value) ? 0 : value;
      out[part.offset] =
          part.standardised ? standardise(value, seen.mean, seen.inverse_deviation) : plain;
    }
    for (const Side::Vector& part : side.vectors) {
      std::copy_n(batch.dense.data() + row * width + part.from, part.width, out + part.offset);
    }
  }
}

}  // namespace

struct Scorer::Parts {
  Parts(const Schema& schema_, const ModelOptions& options)
      : schema(input_schema(schema_, options)),
        served(schema_),
        // Without a feature of the candidates all rows are the context's, and columns of the
        // context are then treated as theirs.
        split(schema.context_width() < schema.inputs() ? schema.context_width() : 0),
        context(side_of(schema, true, 0)),
        candidates(side_of(schema, false, split)),
        model(schema, split, options),
        backend(open_device<float>("cpu")),
        work(model.workspace(*backend, kTileRows)),
        context_x(static_cast<std::size_t>(schema.context_width())),
        shared(static_cast<std::size_t>(model.context_units())),
        z(static_cast<std::size_t>(kTileRows) * schema.tasks().size()) {}

  bool gather(const ServingModel& serving, const ServedShape* shape, const Batch& context_row,
              const Batch& rows, Scores& scores);
  void compute(Scores& scores);

  const Schema schema;
  const ServedLogits served;
  const int split;  // The first column of the candidates' part of x.
  const Side context, candidates;
  const Model<float> model;
  const std::unique_ptr<Backend<float>> backend;
  const std::unique_ptr<Model<float>::Workspace> work;
  std::shared_ptr<const DenseWeights> dense;
  std::vector<float> context_x;  // [1, context width]
  std::vector<float> x;          // [rows, D − split]
  std::vector<float> shared;     // [1, context units]
  std::vector<float> z;          // [tile, T]
};

// The tables are read under the pin; what has only to do with the dense weights comes after it.
// False where another model is served by now.
bool Scorer::Parts::gather(const ServingModel& serving, const ServedShape* shape,
                           const Batch& context_row, const Batch& rows, Scores& scores) {
  MILLRACE_CHECK(context_row.rows == 1);
  const View<float> context_view(context_x.data(), 1, schema.context_width());
  const int columns = schema.inputs() - split;
  x.resize(static_cast<std::size_t>(rows.rows) * static_cast<std::size_t>(columns));
  const View<float> candidate_view(x.data(), rows.rows, columns);
  {
    const ServingModel::Pin pin = serving.pin();
    if (pin.shape().get() != shape) return false;
    scores.version = pin.version();
    scores.seen = pin.seen();
    dense = pin.dense();
    gather_keys(pin, schema, context, context_row, context_row, context_view, scores);
    gather_keys(pin, schema, candidates, context_row, rows, candidate_view, scores);
  }
  MILLRACE_CHECK(dense->parameters.size() == static_cast<std::size_t>(model.parameter_count()));
  MILLRACE_CHECK(dense->numeric.size() == schema.numeric_features().size());
  MILLRACE_CHECK(dense->labels.size() == schema.tasks().size());
  MILLRACE_CHECK(dense->recalibration.empty() ||
                 dense->recalibration.size() == schema.tasks().size());
  gather_numbers(context, schema, *dense, context_row, context_view);
  gather_numbers(candidates, schema, *dense, rows, candidate_view);
  if (split == 0 && schema.context_width() > 0) {
    for (int r = 0; r < rows.rows; ++r) {
      std::copy(context_x.begin(), context_x.end(), candidate_view.row(r));
    }
  }
  return true;
}

void Scorer::Parts::compute(Scores& scores) {
  const int rows = scores.rows, T = model.tasks(), columns = schema.inputs() - split;
  const float* weights = dense->parameters.data();
  const bool recalibrated = !dense->recalibration.empty();
  const View<float> shared_view(shared.data(), 1, model.context_units());
  model.forward_context(weights, View<const float>(context_x.data(), 1, split), shared_view);
  for (int first = 0; first < rows; first += kTileRows) {
    const int count = std::min(kTileRows, rows - first);
    const View<const float> tile(x.data() + long{first} * columns, count, columns);
    const View<float> logits(z.data(), count, T);
    model.forward_candidates(weights, shared_view, tile, *work, logits);
    float* out = scores.values.data() + long{first} * T;
    for (int r = 0; r < count; ++r) {
      for (int t = 0; t < T; ++t) {
        const auto task = static_cast<std::size_t>(t);
        float z =
            served.corrects(t) ? static_cast<float>(served.own(logits.row(r), t)) : logits(r, t);
        if (recalibrated) z = static_cast<float>(dense->recalibration[task].at(double{z}));
        out[long{r} * T + t] = served_value(schema.tasks()[task], dense->labels[task], z);
      }
    }
  }
}

Scorer::Scorer(const Schema& schema, const ModelOptions& options)
    : parts_(std::make_unique<Parts>(schema, options)) {}

Scorer::~Scorer() = default;

// Makes the parts anew where another model is served.
void Scorer::follow(const ServingModel& model) {
  {
    const ServingModel::Pin pin = model.pin();
    if (pin.shape() == shape_ || pin.shape() == nullptr) return;
    shape_ = pin.shape();
  }
  parts_ = std::make_unique<Parts>(shape_->projection.schema(), shape_->options);
}

void Scorer::score(const ServingModel& model, const Batch& context, const Batch& candidates,
                   Scores& scores) {
  const FlushDenormals flush;
  bool gathered = false;
  while (!gathered) {
    follow(model);
    const bool cut = shape_ != nullptr && !shape_->projection.is_whole();
    if (cut) {
      shape_->projection.apply(context, context_);
      shape_->projection.apply(candidates, candidates_);
    }
    Parts& parts = *parts_;
    scores.model = shape_ == nullptr ? std::string() : shape_->model;
    scores.rows = candidates.rows;
    scores.keys = scores.unknown_keys = 0;
    scores.values.resize(static_cast<std::size_t>(scores.rows) * parts.schema.tasks().size());
    gathered = parts.gather(model, shape_.get(), cut ? context_ : context,
                            cut ? candidates_ : candidates, scores);
  }
  Parts& parts = *parts_;
  if (scores.rows > 0) parts.compute(scores);
  parts.dense.reset();
  if (parts.x.capacity() > kKeptValues) std::vector<float>().swap(parts.x);
}

}  // namespace millrace
