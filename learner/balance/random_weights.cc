#include "learner/balance/random_weights.h"

#include <cmath>

#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr std::uint64_t kStream = 0x62616c616e636500;  // "balance"

}  // namespace

RandomBalancer::RandomBalancer(const BalanceOptions& options, std::size_t tasks, std::uint64_t seed)
    : seed_(seed), min_weight_(options.min_weight), weights_(tasks) {
  draw();
}

void RandomBalancer::draw() {
  for (std::size_t k = 0; k < weights_.size(); ++k) {
    const auto bits = philox(seed_, kStream + k, steps_);
    weights_[k] = std::exp(to_normal(bits[0], bits[1])[0]);
  }
  normalise_weights(weights_, min_weight_);
}

void RandomBalancer::step(const StepMeasures&) {
  ++steps_;
  draw();
}

void RandomBalancer::save(ByteWriter& writer) const { writer.put(steps_); }

void RandomBalancer::restore(ByteReader& reader) {
  steps_ = reader.get<std::uint64_t>();
  draw();
}

}  // namespace millrace
