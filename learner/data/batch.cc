#include "learner/data/batch.h"

namespace millrace {

Batch empty_batch(const Schema& schema, Stream stream) {
  Batch batch;
  batch.stream = stream;
  batch.columns.resize(schema.key_features().size());
  return batch;
}

}  // namespace millrace
