#include "learner/train/migrate.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "learner/balance/task_weights.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/embedding/row_optimizer.h"
#include "learner/layers/running_moments.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/guardrail.h"

namespace millrace {
namespace {

bool is_in(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void expect_end(const ByteReader& reader, std::string_view name) {
  if (!reader.at_end()) throw StateError("saved value " + std::string(name) + " has a wrong size");
}

std::string_view condition_of(const Task& task, const Schema& schema) {
  return task.given < 0 ? std::string_view()
                        : schema.tasks()[static_cast<std::size_t>(task.given)].name;
}

// The same label in the same units, so that what was learned of it still means the same.
bool is_same(const Task& a, const Schema& of_a, const Task& b, const Schema& of_b) {
  return a.kind == b.kind && a.transform == b.transform && a.entire_space == b.entire_space &&
         condition_of(a, of_a) == condition_of(b, of_b);
}

bool is_same(const Feature& a, const Feature& b) {
  return a.kind == b.kind && a.dimension == b.dimension && a.width == b.width &&
         a.table == b.table && a.transform == b.transform && a.standardize == b.standardize &&
         a.pooling == b.pooling && a.boundaries == b.boundaries && a.buckets == b.buckets &&
         a.range == b.range && a.of == b.of;
}

// The same optimiser values beside the weights.
bool has_same_rows(const EmbeddingOptimizerOptions& a, const EmbeddingOptimizerOptions& b) {
  const RowOptimizer from(a), to(b);
  return a.optimizer == b.optimizer && from.decays() == to.decays() &&
         from.starts_at_zero() == to.starts_at_zero();
}

// As a trainer of this shape has them.
TaskStates<float> task_states(const Schema& schema, const LearnerOptions& options) {
  const DenseOptimizerOptions& dense = options.train.dense;
  if (!dense.task_states) return {};
  return {Model<float>(input_schema(schema, options.model), options.model).parameters(),
          static_cast<int>(schema.tasks().size()), DenseUpdater<float>::states(dense.optimizer)};
}

/// Moves records of `width` bytes: new[i] is old[sources[i]], or `fresh` where there is none.
/// Returns the new records; reads `count` old ones.
std::string rearrange(ByteReader& reader, std::size_t count, std::size_t width,
                      const std::vector<int>& sources, std::string_view fresh) {
  std::string old;
  for (std::size_t byte = 0; byte < count * width; ++byte) old.push_back(reader.get<char>());
  std::string moved;
  for (const int source : sources) {
    moved += source < 0 ? std::string(fresh)
                        : old.substr(static_cast<std::size_t>(source) * width, width);
  }
  return moved;
}

std::vector<int> pair_numbers(const Schema& from, const Schema& to,
                              const std::vector<int>& features) {
  std::vector<int> sources;
  for (const int feature : to.numeric_features()) {
    const int source = features[static_cast<std::size_t>(feature)];
    const auto& numbers = from.numeric_features();
    const auto at = std::find(numbers.begin(), numbers.end(), source);
    sources.push_back(at == numbers.end() ? -1 : static_cast<int>(at - numbers.begin()));
  }
  return sources;
}

}  // namespace

TrainerMigration::TrainerMigration(const Schema& old_schema, const LearnerOptions& old_options,
                                   const Schema& new_schema, const LearnerOptions& new_options)
    : old_schema_(old_schema),
      new_schema_(new_schema),
      old_options_(old_options),
      new_options_(new_options) {
  for (const Task& task : new_schema.tasks()) {
    const int source = old_schema.find_task(task.name);
    const bool same =
        source >= 0 &&
        is_same(task, new_schema, old_schema.tasks()[static_cast<std::size_t>(source)], old_schema);
    tasks_.push_back(same ? source : -1);
  }
  for (const Feature& feature : new_schema.features()) {
    const int source = old_schema.find_feature(feature.name);
    const bool same =
        source >= 0 && is_same(feature, old_schema.features()[static_cast<std::size_t>(source)]);
    features_.push_back(same ? source : -1);
  }
  // The keys of a cross are those of its parts.
  for (const Cross& cross : new_schema.crosses()) {
    for (const int part : cross.parts) {
      if (features_[static_cast<std::size_t>(part)] < 0) {
        features_[static_cast<std::size_t>(cross.feature)] = -1;
      }
    }
  }
  model_ = migrate_model(old_schema, old_options.model, new_schema, new_options.model, tasks_,
                         features_);

  const Schema old_inputs = input_schema(old_schema, old_options.model),
               new_inputs = input_schema(new_schema, new_options.model);
  bool same_rows = has_same_rows(old_options.train.embedding, new_options.train.embedding);
  if (old_options.model.backbone == BackboneKind::kStem ||
      new_options.model.backbone == BackboneKind::kStem) {
    // A row's parts are the tasks', in their order.
    same_rows &= old_options.model.backbone == new_options.model.backbone &&
                 tasks_.size() == old_schema.tasks().size();
    for (std::size_t k = 0; k < tasks_.size(); ++k) same_rows &= tasks_[k] == static_cast<int>(k);
  }
  std::map<std::string, int> dimensions;
  for (const Table& table : old_inputs.tables()) dimensions[table.name] = table.dimension;
  for (const Table& table : new_inputs.tables()) {
    const auto old = dimensions.find(table.name);
    const bool kept = same_rows && old != dimensions.end() && old->second == table.dimension;
    (kept ? kept_tables_ : made_tables_).push_back(table.name);
    if (kept) dimensions.erase(old);
  }
  for (const auto& [name, dimension] : dimensions) dropped_tables_.push_back(name);
}

// adamw's moments are adam's.
bool TrainerMigration::keeps_dense_optimizer() const {
  const auto family = [](DenseOptimizer optimizer) {
    return optimizer == DenseOptimizer::kAdamw ? DenseOptimizer::kAdam : optimizer;
  };
  const DenseOptimizerOptions &from = old_options_.train.dense, &to = new_options_.train.dense;
  return family(from.optimizer) == family(to.optimizer) && from.task_states == to.task_states;
}

bool TrainerMigration::keeps_balance() const {
  return old_options_.balance.method == new_options_.balance.method;
}

// Whether keys on their way to a row are counted in the same form.
bool TrainerMigration::keeps_admission() const {
  const EmbeddingOptions &from = old_options_.embeddings, &to = new_options_.embeddings;
  return from.admission == to.admission &&
         (from.admission == KeyAdmission::kExact || from.admission_memory == to.admission_memory);
}

// The tasks that have an entry each, in their order.
bool TrainerMigration::keeps_scores() const {
  const auto immediate = [](const Schema& schema) {
    std::vector<std::pair<std::string, bool>> tasks;
    for (const Task& task : schema.tasks()) {
      if (task.policy != FeedbackPolicy::kWait) tasks.emplace_back(task.name, task.entire_space);
    }
    return tasks;
  };
  return immediate(old_schema_) == immediate(new_schema_);
}

bool TrainerMigration::keeps_heads() const {
  const auto heads = [](const Schema& schema) {
    std::vector<std::pair<std::string, FeedbackPolicy>> tasks;
    for (const Task& task : schema.tasks()) {
      if (has_short_wait(task.policy)) tasks.emplace_back(task.name, task.policy);
    }
    return tasks;
  };
  bool same_inputs = old_schema_.features().size() == features_.size();
  for (std::size_t f = 0; f < features_.size(); ++f) {
    same_inputs &= features_[f] == static_cast<int>(f) &&
                   old_schema_.features()[f].context == new_schema_.features()[f].context;
  }
  return same_inputs && heads(old_schema_) == heads(new_schema_);
}

bool TrainerMigration::keeps_relations() const {
  bool same_tasks = old_schema_.tasks().size() == tasks_.size();
  for (std::size_t k = 0; k < tasks_.size(); ++k) same_tasks &= tasks_[k] == static_cast<int>(k);
  return same_tasks && keeps_balance() &&
         Model<float>(old_schema_, old_options_.model).parameters() ==
             Model<float>(new_schema_, new_options_.model).parameters();
}

std::optional<std::string> TrainerMigration::value(std::string_view name,
                                                   std::string_view bytes) const {
  if (name == "guardrails") {
    return migrate_guardrails(bytes, old_schema_.tasks().size(), tasks_);
  }
  if (name == "guardrail_notes") return std::nullopt;
  if (name == "relations") {
    return keeps_relations() ? std::optional<std::string>(bytes) : std::nullopt;
  }
  if (name.starts_with("evaluate/")) {
    return keeps_evaluation(name) ? std::optional<std::string>(bytes) : std::nullopt;
  }
  if (name == "counters") return std::string(bytes);
  if (name == "dense") return dense(bytes);
  if (name == "feedback" || name == "scores_clock") {
    const bool kept = name == "feedback" ? keeps_heads() : keeps_scores();
    return kept ? std::optional<std::string>(bytes) : std::nullopt;
  }
  if (name == "numeric") return numeric(bytes);
  if (name == "tables") return tables(bytes);
  if (name.starts_with("metrics/")) {
    return keeps_metrics(name) ? std::optional<std::string>(bytes) : std::nullopt;
  }
  const std::size_t old_tasks = old_schema_.tasks().size();
  ByteReader reader(bytes);
  std::string moved;
  if (name == "shares") {
    constexpr std::size_t kShare = 2 * sizeof(double);
    for (int stream = 0; stream < kStreams; ++stream) {
      moved += rearrange(reader, old_tasks, kShare, tasks_, std::string(kShare, '\0'));
    }
  } else if (name == "outputs") {
    constexpr std::size_t kOutput = 2 + 2 * sizeof(float);
    moved = rearrange(reader, old_tasks, kOutput, tasks_, std::string(kOutput, '\0'));
  } else if (name == "labels") {
    constexpr std::size_t kCounts = 1 + 3 * sizeof(double);
    moved = rearrange(reader, old_tasks, kCounts, tasks_, std::string(kCounts, '\0'));
  } else if (name == "balance") {
    if (!keeps_balance()) return std::nullopt;
    return TaskWeights::migrate(bytes, new_options_.balance, old_tasks, new_schema_.tasks(),
                                tasks_);
  } else {
    throw StateError("saved state of the model has an unknown value " + std::string(name));
  }
  expect_end(reader, name);
  return moved;
}

bool TrainerMigration::keeps_set(std::string_view set) const {
  if (set == "scores") return keeps_scores();
  const std::size_t slash = set.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view kind = set.substr(0, slash);
  const bool counts = kind == "candidates" || kind == "counters";
  return (kind == "rows" || (counts && keeps_admission())) &&
         is_in(kept_tables_, set.substr(slash + 1));
}

// What is measured of the whole model begins anew where its shape changed; what the business had,
// only where a task is not what it was.
bool TrainerMigration::keeps_evaluation(std::string_view name) const {
  const auto is_kept = [](const auto& now, const auto& before, const std::vector<int>& sources) {
    for (std::size_t i = 0; i < now.size(); ++i) {
      const bool was = std::any_of(before.begin(), before.end(),
                                   [&](const auto& old) { return old.name == now[i].name; });
      if (was && sources[i] < 0) return false;
    }
    return true;
  };
  const auto is_same = [](std::size_t before, const std::vector<int>& sources) {
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (sources[i] != static_cast<int>(i)) return false;
    }
    return before == sources.size();
  };
  if (name.starts_with("evaluate/business/")) {
    return is_kept(new_schema_.tasks(), old_schema_.tasks(), tasks_);
  }
  return is_same(old_schema_.tasks().size(), tasks_) &&
         is_same(old_schema_.features().size(), features_) && model_.made.empty() &&
         model_.partly.empty() && model_.dropped.empty();
}

// "metrics/<task>/…"
bool TrainerMigration::keeps_metrics(std::string_view name) const {
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    if (tasks_[k] >= 0 && name.starts_with("metrics/" + new_schema_.tasks()[k].name + "/")) {
      return true;
    }
  }
  return false;
}

// The weights, Σ share, and what the optimiser keeps of each weight.
std::string TrainerMigration::dense(std::string_view bytes) const {
  ByteReader reader(bytes);
  const auto read = [&] {
    std::vector<float> values = reader.get_all<float>();
    if (static_cast<long>(values.size()) == model_.old_count) return values;
    throw StateError("the saved model has another number of weights than its configuration");
  };
  const std::vector<float> old_weights = read();
  const auto old_share = reader.get<double>();
  std::vector<std::vector<float>> old_states;
  for (int s = DenseUpdater<float>::states(old_options_.train.dense.optimizer); s > 0; --s) {
    old_states.push_back(read());
  }
  TaskStates<float> old_of_tasks = task_states(old_schema_, old_options_);
  old_of_tasks.restore(reader);
  expect_end(reader, "dense");
  const auto count = static_cast<std::size_t>(model_.new_count);
  std::vector<float> weights(count);
  const Model<float> net(input_schema(new_schema_, new_options_.model), new_options_.model);
  net.initialise(static_cast<std::uint64_t>(new_options_.train.seed), weights);
  const auto copy = [&](const std::vector<float>& from, std::vector<float>& to) {
    for (const KeptWeights& kept : model_.kept) {
      std::copy_n(from.begin() + kept.from, kept.count, to.begin() + kept.to);
    }
  };
  copy(old_weights, weights);
  ByteWriter writer;
  writer.put_all(weights);
  writer.put(keeps_dense_optimizer() ? old_share : 0.0);
  const int states = DenseUpdater<float>::states(new_options_.train.dense.optimizer);
  for (std::size_t s = 0; s < static_cast<std::size_t>(states); ++s) {
    std::vector<float> moved(count);
    if (keeps_dense_optimizer()) copy(old_states[s], moved);
    writer.put_all(moved);
  }
  TaskStates<float> of_tasks = task_states(new_schema_, new_options_);
  for (int k = 0; k < of_tasks.tasks() && keeps_dense_optimizer(); ++k) {
    const int source = tasks_[static_cast<std::size_t>(k)];
    if (source < 0) continue;
    of_tasks.advance(k, old_of_tasks.steps(source));
    for (int s = 0; s < states; ++s) {
      std::vector<float> moved(count);
      copy(old_of_tasks.spread(source, s, model_.old_count), moved);
      of_tasks.collect(k, s, moved);
    }
  }
  of_tasks.save(writer);
  return writer.take();
}

std::string TrainerMigration::numeric(std::string_view bytes) const {
  constexpr std::size_t kMoments = 3 * sizeof(double);
  ByteWriter fresh;
  RunningMoments().save(fresh);
  ByteReader reader(bytes);
  std::string moved = rearrange(reader, old_schema_.numeric_features().size(), kMoments,
                                pair_numbers(old_schema_, new_schema_, features_), fresh.bytes());
  expect_end(reader, "numeric");
  return moved;
}

// Event time and steps, then of each table its name and counters.
std::string TrainerMigration::tables(std::string_view bytes) const {
  using Counters = EmbeddingTable::Counters;
  ByteReader reader(bytes);
  ByteWriter writer;
  writer.put(reader.get<std::int64_t>());
  writer.put(reader.get<double>());
  std::map<std::string, Counters> old;
  for (std::size_t t = 0; t < old_schema_.tables().size(); ++t) {
    Counters& counters = old[std::string(reader.get_text())];
    counters.admitted = reader.get<std::uint64_t>();
    counters.expired = reader.get<std::uint64_t>();
    counters.refused = reader.get<std::uint64_t>();
    counters.evicted = reader.get<std::uint64_t>();
  }
  expect_end(reader, "tables");
  for (const Table& table : new_schema_.tables()) {
    const Counters counters = is_in(kept_tables_, table.name) ? old[table.name] : Counters{};
    writer.put_text(table.name);
    writer.put(counters.admitted);
    writer.put(counters.expired);
    writer.put(counters.refused);
    writer.put(counters.evicted);
  }
  return writer.take();
}

}  // namespace millrace
