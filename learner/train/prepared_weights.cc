#include "learner/train/prepared_weights.h"

#include "learner/train/chunks.h"

namespace millrace {
namespace {

long count_if(bool wanted, long count) { return wanted ? count : 0; }

}  // namespace

PreparedWeights::PreparedWeights(const Model<float>& model, int most_rows, Products products)
    : model_(model),
      rounds_(products == Products::kBf16),
      transposed_(
          allocate_host<float>(count_if(most_rows >= Chunks::kPrepared, model.parameter_count()))),
      rounded_(allocate_host<std::uint32_t>(
          count_if(rounds_ && most_rows >= Chunks::kPrepared, model.parameter_count()))) {}

void PreparedWeights::prepare(Backend<float>& backend, const float* weights, int rows,
                              bool inputs) {
  weights_ = rows >= Chunks::kPrepared ? weights : nullptr;
  if (weights_ == nullptr) return;
  model_.transpose(backend, weights, inputs, transposed_.get());
  if (rounds_) model_.round(backend, weights, rounded_.get());
}

void PreparedWeights::share(Backend<float>& backend, Model<float>::Workspace& work) const {
  if (weights_ == nullptr) return forget(backend, work);
  work.use_transposed(transposed_.get());
  if (rounds_) backend.use_rounded(weights_, model_.parameter_count(), rounded_.get());
}

void PreparedWeights::forget(Backend<float>& backend, Model<float>::Workspace& work) {
  work.use_transposed(nullptr);
  backend.use_rounded(nullptr, 0, nullptr);
}

}  // namespace millrace
