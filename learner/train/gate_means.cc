#include "learner/train/gate_means.h"

#include <algorithm>

#include "learner/train/chunks.h"

namespace millrace {

void GateMeans::measure(const Batch& batch, const Pass& pass, const float* weights,
                        const InputLayer& inputs, float* z, Threads& threads,
                        const std::function<Place(int thread)>& place) {
  if (model_.gate_weights() == 0) return;
  const Chunks chunks(batch.rows);
  const View<float> all_z(z, batch.rows, model_.tasks());
  const auto count = static_cast<std::size_t>(model_.gate_weights());
  sums_.resize(static_cast<std::size_t>(chunks.count));
  threads.run(chunks.count, [&](int chunk, int thread) {
    const auto at = static_cast<std::size_t>(chunk);
    sums_[at].assign(count, 0);
    const Place own = place(thread);
    Pass tile = pass;
    for (int first = chunks.begin(chunk); first < chunks.end(chunk); first += tile_) {
      const int rows = std::min(tile_, chunks.end(chunk) - first);
      const View<float> x_tile(own.x, rows, model_.inputs());
      inputs.gather(first, x_tile);
      tile.first_row = first;
      tile.row_weights =
          std::span(batch.weights)
              .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows));
      model_.forward(weights, x_tile, own.work, all_z.rows_from(first, rows), tile);
      model_.add_gate_weights(own.work, sums_[at]);
    }
  });
  std::vector<double> means(count);
  for (const std::vector<double>& sums : sums_) {
    for (std::size_t i = 0; i < count; ++i) means[i] += sums[i];
  }
  for (double& mean : means) mean /= std::max(1.0, pass.batch_rows);
  for (int t = 0; t < threads.count(); ++t) model_.set_gate_means(place(t).work, means);
}

}  // namespace millrace
