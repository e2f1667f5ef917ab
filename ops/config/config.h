#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/joiner.h"
#include "ingest/join/options.h"
#include "ingest/sink/dead_letters.h"
#include "ingest/source/kafka_options.h"
#include "learner/data/schema.h"
#include "learner/relation/transfer_alarm.h"
#include "learner/train/trainer.h"
#include "serve/options.h"
#include "store/options.h"

namespace millrace {

/// One entry of `models`: the sections as they stand, with what it changes of them.
struct ModelEntry {
  std::string name;
  std::vector<int> tasks, features;  ///< Indices of those it has, ascending.
  LearnerOptions learner;
};

/// `twins`: for these tasks a model of the task alone learns beside the others.
struct TwinOptions {
  std::vector<std::string> tasks;
  TransferAlarmOptions alarm;
};

/// The whole configuration, checked: what a user's file, the environment and --set say together.
struct Config {
  std::string name = "default";  ///< Of the model: in answers, keys of the store and metric labels.
  KafkaOptions kafka;
  EventTypes events;
  DeadLetterOptions dead_letters;
  JoinOptions join;
  std::vector<Feature> features;
  std::vector<Task> tasks;
  std::vector<LabelSource> labels;  ///< Parallel to `tasks`.
  std::string score;                ///< The formula; the first task where nothing was written.
  LearnerOptions learner;
  std::vector<ModelEntry> models;  ///< Empty: one model, called `name`, of the sections.
  TwinOptions twins;
  StoreOptions store;
  ServeOptions serve;

  Schema schema() const { return {features, tasks}; }
};

/// What makes a store fit a configuration, as lines "key: value" in a fixed order: the things that
/// may not change on an existing store: seed, delayed_feedback, tasks, the windows of the events
/// that they use, features, model, optimisers, balancing method; and the model's name, under which
/// its state is stored. Of several models each has its own lines, "models.<name>/key: value".
std::string config_identity(const Config& config);

/// The lines of two identities that differ, as one message that names each key, what the store has
/// and what the configuration says; empty where they agree. Models that only one of the two has do
/// not differ, as long as any is in both.
std::string identity_difference(const std::string& stored, const std::string& configured);

/// The models of an identity, ascending.
std::vector<std::string> identity_models(const std::string& identity);

}  // namespace millrace
