#include "ops/parity/parity.h"

#include <utility>
#include <vector>

#include "learner/train/trainer.h"
#include "ops/json_inner.h"
#include "ops/parity/weights.h"

namespace millrace {
namespace {

namespace json = boost::json;

LearnerOptions without_guardrails(LearnerOptions options) {
  options.guardrails.spike.enabled = false;
  options.guardrails.calibration.enabled = false;
  options.guardrails.silent.enabled = false;
  return options;
}

std::optional<Error> cannot_run(const Config& config) {
  if (config.learner.embeddings.admit_after == 1) return std::nullopt;
  return Error{"embeddings.admit_after: " + std::to_string(config.learner.embeddings.admit_after) +
               " cannot be compared; expected 1: a given row is a row"};
}

// Where a weight is a function of FTRL's z there is no z that gives back any given weight.
std::optional<Error> cannot_start(const Config& config) {
  const EmbeddingOptimizerOptions& rows = config.learner.train.embedding;
  if (rows.optimizer != EmbeddingOptimizer::kFtrl || rows.l1 == 0) return std::nullopt;
  return Error{"train.embedding.l1: ftrl with l1 above 0 cannot start from given weights"};
}

std::string trace_line(std::int64_t step, const Batch& batch, const std::vector<double>& weights,
                       const TrainerReport& after) {
  json::object tasks;
  const std::size_t T = weights.size();
  for (std::size_t k = 0; k < T; ++k) {
    bool labelled = false;
    for (std::size_t cell = k; cell < batch.labels.size(); cell += T) {
      labelled |= !std::isnan(batch.labels[cell]);
    }
    const TaskReport& task = after.tasks[k];
    tasks[task.name] = json::object{
        {"loss", labelled && task.loss ? json::value(*task.loss) : json::value(nullptr)},
        {"weight", weights[k]}};
  }
  return json::serialize(
             json::object{{"step", step}, {"rows", batch.rows}, {"tasks", std::move(tasks)}}) +
         "\n";
}

std::vector<double> task_weights(const Trainer& trainer) {
  std::vector<double> weights;
  for (const TaskReport& task : trainer.report().tasks) weights.push_back(task.weight);
  return weights;
}

}  // namespace

Result<TensorFile> initial_weights(const Config& config, const GivenBatches& batches) {
  if (auto fault = cannot_run(config)) return *fault;
  const Schema schema = config.schema();
  Trainer trainer(config.name, schema, config.learner);
  std::vector<TableUpdate> tables(schema.tables().size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    for (const auto& [key, text] : batches.texts[t]) tables[t].keys.push_back(key);
  }
  trainer.start_from({}, tables, batches.batches.at(0).due);
  return weights_file(trainer.publish(), config, batches.texts);
}

Result<ParityResult> run_parity(const ParityRun& run) {
  if (auto fault = cannot_run(run.config)) return *fault;
  const Schema schema = run.config.schema();
  Trainer trainer(run.config.name, schema, without_guardrails(run.config.learner));
  KeyTexts texts = run.batches.texts;
  if (run.weights) {
    if (auto fault = cannot_start(run.config)) return *fault;
    const auto given = read_weights(*run.weights, run.config);
    if (!given) return given.error();
    trainer.start_from(given->dense, given->tables, run.batches.batches.at(0).due);
    for (std::size_t t = 0; t < texts.size(); ++t) {
      texts[t].insert(given->texts[t].begin(), given->texts[t].end());
    }
  }
  ParityResult result;
  for (std::int64_t step = 0; step < run.steps; ++step) {
    const auto turn = static_cast<std::size_t>(step) % run.batches.batches.size();
    const Batch& batch = run.batches.batches[turn];
    const std::vector<double> weights = task_weights(trainer);
    trainer.train(batch);
    const TrainerReport report = trainer.report();
    if (report.skipped > 0) {
      return Error{"step " + std::to_string(step) +
                   ": a loss or a gradient is not finite, and nothing was learned"};
    }
    result.trace += trace_line(step, batch, weights, report);
  }
  result.weights = weights_file(trainer.publish(), run.config, texts);
  return result;
}

}  // namespace millrace
