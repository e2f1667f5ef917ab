#include "ops/config/embedding_checks.h"

#include "learner/embedding/bloom_counter.h"

namespace millrace {
namespace {

void check_optimizer(ConfigReader& reader, const EmbeddingOptimizerOptions& options) {
  using enum EmbeddingOptimizer;
  const EmbeddingOptimizerOptions usual;
  struct Own {
    const char* key;
    bool changed;
    EmbeddingOptimizer optimizer;
  };
  const Own parameters[] = {{"l1", options.l1 != usual.l1, kFtrl},
                            {"beta", options.beta != usual.beta, kFtrl},
                            {"beta1", options.beta1 != usual.beta1, kAdam},
                            {"beta2", options.beta2 != usual.beta2, kAdam},
                            {"epsilon", options.epsilon != usual.epsilon, kAdam}};
  const std::string section = "train.embedding.";
  for (const auto& [key, changed, optimizer] : parameters) {
    if (!changed || options.optimizer == optimizer) continue;
    reader.complain(section + key, "belongs to " + std::string(choice_name(optimizer)) +
                                       "; the optimizer is " +
                                       std::string(choice_name(options.optimizer)));
  }
  const bool scheduled =
      options.schedule.shape != ScheduleShape::kConstant || options.schedule.warmup > 0;
  if (scheduled && options.optimizer == kFtrl && options.l1 > 0) {
    reader.complain(section + "schedule",
                    "does not go together with l1: ftrl's weights are a function of its rate");
  }
  if (options.decay == 0) return;
  if (options.optimizer == kFtrl) {
    reader.complain(section + "decay", "does not go together with ftrl; expected l2");
  } else if (options.l2 > 0) {
    reader.complain(section + "decay", "does not go together with l2; expected one of them");
  }
}

}  // namespace

void check_embeddings(ConfigReader& reader, const Config& config) {
  check_optimizer(reader, config.learner.train.embedding);
  const EmbeddingOptions& options = config.learner.embeddings;
  if (options.admission != KeyAdmission::kBloom) {
    if (options.admission_memory.value != EmbeddingOptions{}.admission_memory.value) {
      reader.complain(
          "embeddings.admission_memory",
          "has no effect; expected `admission: bloom` beside it: exact counts take what "
          "their keys take, of at most max_rows");
    }
    return;
  }
  if (options.admit_after < 2 || options.admit_after > BloomCounter::kMost) {
    reader.complain("embeddings.admission", "bloom counts to " +
                                                std::to_string(BloomCounter::kMost) +
                                                "; expected admit_after from 2 to that, not " +
                                                std::to_string(options.admit_after));
  }
}

}  // namespace millrace
