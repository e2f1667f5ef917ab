#include "ops/engine/migration.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "ingest/encode/batcher.h"
#include "ingest/encode/transcode.h"
#include "ingest/join/joiner.h"
#include "ingest/join/migrate.h"
#include "learner/train/migrate.h"
#include "ops/config/load.h"
#include "ops/config/models.h"
#include "ops/engine/engine.h"
#include "ops/engine/parts.h"
#include "store/carry_over.h"
#include "store/rollback.h"
#include "store/store.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

// By name: what two lists share, what only the new one has, what only the old one had.
template <class Item>
MigrationReport::Names compare(const std::vector<Item>& before, const std::vector<Item>& now,
                               const std::vector<int>& sources) {
  MigrationReport::Names names;
  std::set<int> kept;
  for (std::size_t i = 0; i < now.size(); ++i) {
    (sources[i] >= 0 ? names.kept : names.made).push_back(now[i].name);
    kept.insert(sources[i]);
  }
  for (int i = 0; i < static_cast<int>(before.size()); ++i) {
    if (!kept.contains(i)) names.dropped.push_back(before[static_cast<std::size_t>(i)].name);
  }
  return names;
}

// A model that both configurations have.
struct KeptModel {
  std::string participant;
  TrainerMigration trainer;
};

std::vector<std::unique_ptr<const KeptModel>> kept_models(const Config& from, const Config& to) {
  std::vector<std::unique_ptr<const KeptModel>> kept;
  const std::vector<ModelPlan> before = model_plans(from);
  for (const ModelPlan& now : model_plans(to)) {
    for (const ModelPlan& old : before) {
      if (old.name != now.name) continue;
      kept.emplace_back(new KeptModel{"model/" + now.name,
                                      TrainerMigration(old.projection.schema(), old.options,
                                                       now.projection.schema(), now.options)});
    }
  }
  return kept;
}

class Migration {
 public:
  Migration(const Config& from, const Config& to)
      : from_(from),
        to_(to),
        from_schema_(from.schema()),
        to_schema_(to.schema()),
        trainer_(from_schema_, from.learner, to_schema_, to.learner),
        models_(kept_models(from, to)),
        join_({from_schema_, from.events, from.labels}, {to_schema_, to.events, to.labels}) {}

  /// Makes the new store in `folder`.
  void make(const Database& old, const std::string& folder);
  MigrationReport report() const;

 private:
  void start(const Database& old, const std::string& folder) const;
  void move_join(const Database& old, Store& store, Joiner& joiner);
  Commit::Part service() const;
  static Commit::Part champion(const Database& old);
  Commit::Part batches(const Database& old) const;
  Commit::Part model(const Database& old, const KeptModel& kept) const;
  const KeptModel* find(std::string_view participant) const;

  const Config& from_;
  const Config& to_;
  const Schema from_schema_, to_schema_;
  const TrainerMigration trainer_;  ///< Of the sections, with every task and feature.
  const std::vector<std::unique_ptr<const KeptModel>> models_;
  JoinMigration join_;
  std::uint64_t impressions_ = 0, outcomes_ = 0, commit_ = 0;
};

// The new store begins with what stays as it is.
void Migration::start(const Database& old, const std::string& folder) const {
  const auto database = Database::open(folder + "/db", Database::Access::kWrite);
  Keeps keeps;
  keeps.value = [&](std::string_view participant, std::string_view name) {
    if (participant == "service") return name == "first_start";
    if (participant == "join") return name != "cold";
    return participant != "batches" && participant != "models" &&
           !participant.starts_with("model/");
  };
  keeps.set = [&](std::string_view participant, std::string_view set) {
    if (const KeptModel* kept = find(participant)) return kept->trainer.keeps_set(set);
    return participant != "join" && !participant.starts_with("model/");
  };
  carry_over(old, keeps, *database);
}

void Migration::make(const Database& old, const std::string& folder) {
  start(old, folder);
  const std::unique_ptr<Store> store = Store::open(folder, Store::Access::kWrite);
  Joiner joiner(to_schema_, to_.events, to_.labels, to_.join);
  store->restore(joiner);
  move_join(old, *store, joiner);
  Commit last;
  last.sequence = commit_ = store->sequence() + 1;
  last.parts.push_back(save_part(joiner, last.sequence, {}));
  last.parts.push_back(service());
  last.parts.push_back(batches(old));
  for (const auto& kept : models_) last.parts.push_back(model(old, *kept));
  last.parts.push_back(champion(old));
  store->write(last);
}

void Migration::move_join(const Database& old, Store& store, Joiner& joiner) {
  const auto save_if_full = [&] {
    if (joiner.pressure() == JoinState::Pressure::kNone) return;
    Commit commit;
    commit.sequence = store.sequence() + 1;
    commit.parts.push_back(save_part(joiner, commit.sequence, {}));
    store.write(commit);
  };
  for_each_entry(old, "join", "impressions", [&](std::string_view id, std::string_view value) {
    if (auto impression = join_.impression(id, value)) {
      joiner.adopt(std::move(*impression));
      ++impressions_;
      save_if_full();
    }
  });
  for_each_entry(old, "join", "outcomes", [&](std::string_view id, std::string_view value) {
    std::vector<KeptOutcome> kept = join_.outcomes(value);
    outcomes_ += kept.size();
    joiner.adopt(id, std::move(kept));
  });
  Accounts& accounts = joiner.accounts();
  accounts.impressions.waiting -= join_.finished_impressions();
  accounts.impressions.finished += join_.finished_impressions();
  accounts.outcomes.waiting -= join_.dropped_waiting_outcomes();
  accounts.outcomes.unused += join_.dropped_waiting_outcomes();
}

Commit::Part Migration::service() const {
  Commit::Part part{"service", {}};
  part.changes.values.push_back({"identity", config_identity(to_), false});
  part.changes.values.push_back({"configuration", print_config(to_), false});
  return part;
}

// The rows of the open batches.
Commit::Part Migration::batches(const Database& old) const {
  Commit::Part part{"batches", {}};
  const Batcher from(from_schema_, from_.learner.train.batch, from_.learner.train.batch_span);
  const Batcher to(to_schema_, to_.learner.train.batch, to_.learner.train.batch_span);
  const FeatureTranscoder transcode(from_schema_, to_schema_);
  for_each_value(old, part.participant,
                 [&](std::string_view name, std::string_view bytes, bool in_digest) {
                   part.changes.values.push_back(
                       {std::string(name),
                        name == "seen" ? std::string(bytes)
                                       : to.carried_over(bytes, from, trainer_.tasks(), transcode),
                        in_digest});
                 });
  return part;
}

const KeptModel* Migration::find(std::string_view participant) const {
  for (const auto& kept : models_) {
    if (kept->participant == participant) return kept.get();
  }
  return nullptr;
}

Commit::Part Migration::model(const Database& old, const KeptModel& kept) const {
  Commit::Part part{kept.participant, {}};
  for_each_value(
      old, part.participant, [&](std::string_view name, std::string_view bytes, bool in_digest) {
        if (auto value = kept.trainer.value(name, bytes)) {
          part.changes.values.push_back({std::string(name), std::move(*value), in_digest});
        }
      });
  return part;
}

// Who is champion stays; what was compared with twins begins anew.
Commit::Part Migration::champion(const Database& old) {
  Commit::Part part{"models", {}};
  for_each_value(
      old, part.participant, [&](std::string_view name, std::string_view bytes, bool in_digest) {
        if (name != "champion") return;
        part.changes.values.push_back({std::string(name), std::string(bytes), in_digest});
      });
  return part;
}

MigrationReport Migration::report() const {
  MigrationReport report;
  report.tasks = compare(from_schema_.tasks(), to_schema_.tasks(), trainer_.tasks());
  report.features = compare(from_schema_.features(), to_schema_.features(), trainer_.features());
  report.tables = {trainer_.kept_tables(), trainer_.made_tables(), trainer_.dropped_tables()};
  const ModelMigration& model = trainer_.model();
  report.weights = {model.whole, model.made, model.dropped};
  report.weights_in_part = model.partly;
  report.keeps_dense_optimizer = trainer_.keeps_dense_optimizer();
  report.keeps_balance = trainer_.keeps_balance();
  report.impressions = impressions_;
  report.impressions_finished = join_.finished_impressions();
  report.labels_dropped = join_.dropped_labels();
  report.outcomes = outcomes_;
  report.outcomes_dropped = join_.dropped_waiting_outcomes();
  report.commit = commit_;
  return report;
}

// What the store was made with, and whether it differs from `config` in what can be migrated.
std::optional<Config> other_shape(const Store& store, const Config& config) {
  const auto identity = store.value("service", "identity");
  if (!identity) return std::nullopt;
  const std::string difference = identity_difference(*identity, config_identity(config));
  if (difference.empty()) return std::nullopt;
  const auto text = store.value("service", "configuration");
  if (!text) throw StateError("the store does not say what configuration it was made with");
  const auto loaded = load_config_text(*text, "the store's configuration", {});
  if (!loaded) throw StateError(loaded.error().message);
  const Config& before = loaded->config;
  bool any = false, same_seeds = true;
  for (const ModelPlan& now : model_plans(config)) {
    for (const ModelPlan& old : model_plans(before)) {
      if (old.name != now.name) continue;
      any = true;
      same_seeds &= old.options.train.seed == now.options.train.seed;
    }
  }
  if (!any || !same_seeds) {
    throw IdentityError(difference +
                        "a migration changes neither name nor train.seed; set them to what the "
                        "store has");
  }
  return before;
}

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list.empty() ? "none" : list;
}

std::string line(std::string_view what, const MigrationReport::Names& names) {
  return fmt::format("{:<12} kept {}; made {}; dropped {}\n", what, listed(names.kept),
                     listed(names.made), listed(names.dropped));
}

}  // namespace

std::optional<MigrationReport> migrate_store(const Config& config, EventTime now) {
  const std::string& path = config.store.path;
  if (!fs::exists(fs::path(path) / "db" / "CURRENT")) return std::nullopt;
  std::optional<Config> before;
  std::string snapshot;
  {
    const std::unique_ptr<Store> store = Store::open(path, Store::Access::kWrite);
    before = other_shape(*store, config);
    if (!before) return std::nullopt;
    snapshot = store->snapshot(now, config.store.snapshots.keep).name;
  }
  Migration migration(*before, config);
  replace_database(path, [&](const std::string& folder) {
    const auto old = Database::open(path + "/db", Database::Access::kRead);
    migration.make(*old, folder);
  });
  MigrationReport report = migration.report();
  report.snapshot = std::move(snapshot);
  return report;
}

std::string to_text(const MigrationReport& report) {
  std::string text = line("tasks", report.tasks) + line("features", report.features) +
                     line("tables", report.tables);
  text += fmt::format("{:<12} {} blocks kept, {} kept in part, {} made, {} dropped\n", "weights",
                      report.weights.kept.size(), report.weights_in_part.size(),
                      report.weights.made.size(), report.weights.dropped.size());
  text += fmt::format("{:<12} optimiser {}, balancing {}\n", "methods",
                      report.keeps_dense_optimizer ? "kept" : "made",
                      report.keeps_balance ? "kept" : "made");
  text += fmt::format(
      "{:<12} {} impressions go on, {} are finished; {} labels dropped; {} outcomes wait, {} "
      "dropped\n",
      "join", report.impressions, report.impressions_finished, report.labels_dropped,
      report.outcomes, report.outcomes_dropped);
  text += fmt::format("{:<12} {} has what was before; the store is now at commit {}\n", "snapshot",
                      report.snapshot, report.commit);
  return text;
}

}  // namespace millrace
