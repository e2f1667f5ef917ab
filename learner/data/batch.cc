#include "learner/data/batch.h"

#include <algorithm>

namespace millrace {

int learned_rows(const Batch& batch) {
  return batch.rows - static_cast<int>(std::count(batch.weights.begin(), batch.weights.end(), 0));
}

Batch empty_batch(const Schema& schema, Stream stream) {
  Batch batch;
  batch.stream = stream;
  batch.columns.resize(schema.key_features().size());
  return batch;
}

}  // namespace millrace
