#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

#include "learner/base/fields.h"
#include "ops/config/config.h"

namespace millrace {

/// The keys at the top of a configuration, in the order in which they are read and printed.
inline constexpr std::array<std::string_view, 19> kTopKeys{
    "name",     "kafka",  "events", "dead_letters", "join",      "features", "embeddings",
    "tasks",    "score",  "model",  "balance",      "relations", "train",    "guardrails",
    "evaluate", "models", "twins",  "store",        "serve"};

/// Calls `visit(options, meaning)` for the section of that name; returns whether there is one whose
/// keys are declared by an option struct. `config` is a Config, const or not.
template <class AnyConfig, class Visit>
bool visit_section(AnyConfig& config, std::string_view name, Visit visit) {
  if (name == "kafka") {
    visit(config.kafka, "Where events come from.");
  } else if (name == "dead_letters") {
    visit(config.dead_letters, "Where records go that cannot become events.");
  } else if (name == "join") {
    visit(config.join, "How impressions and outcomes become rows.");
  } else if (name == "embeddings") {
    visit(config.learner.embeddings, "Limits of each embedding table.");
  } else if (name == "model") {
    visit(config.learner.model, "The network between the inputs and the tasks.");
  } else if (name == "balance") {
    visit(config.learner.balance, "How the tasks' losses are weighed against each other.");
  } else if (name == "relations") {
    visit(config.learner.relations, "How the tasks are measured against each other.");
  } else if (name == "train") {
    visit(config.learner.train, "Batches, optimisers and the seed.");
  } else if (name == "guardrails") {
    visit(config.learner.guardrails,
          "When learning stops by itself, for one task or for all, and how much of it one user may "
          "have.");
  } else if (name == "evaluate") {
    visit(config.learner.evaluate,
          "What is told of how good the models are; none of it changes a weight.");
  } else if (name == "store") {
    visit(config.store, "Where everything is committed.");
  } else if (name == "serve") {
    visit(config.serve, "The HTTP endpoint.");
  } else {
    return false;
  }
  return true;
}

inline constexpr int kMostDimension = 1024;
inline constexpr int kMostWidth = 8192;
inline constexpr int kMostBuckets = 65536;
inline constexpr std::size_t kMostParts = 16;

/// The keys of one entry of `features`.
constexpr auto feature_fields() {
  using F = Feature;
  return std::tuple{
      field("name", &F::name, "The feature's name in events and requests; required."),
      field("type", &F::kind, "What a value is; required."),
      field("dimension", &F::dimension,
            "Of the embedding (categorical, bag, cross, and numeric with boundaries or buckets); "
            "required there.",
            1, kMostDimension),
      field("width", &F::width, "Of the vector (dense); required there.", 1, kMostWidth),
      field("pooling", &F::pooling, "How the embeddings of a bag become one vector."),
      field("transform", &F::transform,
            "Applied to a number; log1p keeps the sign and takes log(1 + x) of the rest."),
      field("standardize", &F::standardize,
            "Whether a number is shifted and scaled by its running mean and deviation."),
      field("context", &F::context,
            "Whether the feature belongs to a request's context, not to a candidate."),
      field("table", &F::table,
            "The embedding table; features that name the same one share its rows. Default: its "
            "own, called like the feature."),
      field("of", &F::of,
            "Of a cross: its parts, two or more categorical features or numbers with boundaries or "
            "buckets. Its value is that of all of them together, missing where one is; events and "
            "requests do not carry it, and it belongs to the context where all its parts do."),
      field("boundaries", &F::boundaries,
            "Makes a number an embedding of the bucket it is in: ascending boundaries, each the "
            "least number of the bucket above it."),
      field("buckets", &F::buckets,
            "Makes a number an embedding of one of so many buckets of equal width over range, "
            "after the transform: with log1p they widen with the number.",
            2, kMostBuckets),
      field("range", &F::range,
            "Of buckets: the least and the greatest number, before the transform; what is beyond "
            "belongs to the first or the last bucket."),
  };
}

/// One entry of `tasks` as it is written.
struct TaskEntry {
  std::string name;
  std::string label;
  std::string given;
  TaskKind kind = TaskKind::kBinary;
  Transform transform = Transform::kNone;
  Aggregate aggregate = Aggregate::kLast;
  std::optional<double> absent;
  bool entire_space = false;
  RegressionLoss loss = RegressionLoss::kSquared;
  double delta = 1;

  static constexpr auto fields() {
    using T = TaskEntry;
    return std::tuple{
        field("name", &T::name,
              "The task's name in answers, metrics and the score: a letter, then letters, digits "
              "and _; required."),
        field("label", &T::label, "The outcome that makes the label. Default: the task's name."),
        field("given", &T::given, "The binary task that is this one's condition. Default: none."),
        field(
            "kind", &T::kind,
            "What the label is: whether an outcome came (binary); a number (regression); a number "
            "that is never negative, learned as a rate (count: Poisson) or as log1p (duration). A "
            "label below 0 of these is neither learned nor measured."),
        field("transform", &T::transform,
              "Applied to the label of a regression while learning; served values are in the "
              "label's units. Default: none; of a duration log1p, always."),
        field("aggregate", &T::aggregate,
              "How several outcomes of one impression make one label (not of binary tasks)."),
        field("absent", &T::absent,
              "The label where no outcome came (not of binary tasks). Default: missing."),
        field("entire_space", &T::entire_space,
              "Whether the product with the conditions is trained over all rows; otherwise the "
              "task is trained on its condition's rows. Default: true for a binary task with a "
              "condition, else false."),
        field("loss", &T::loss,
              "Of a regression or duration: squared, or huber: linear beyond delta, so that few "
              "labels far off do not rule."),
        field("delta", &T::delta, "Of huber, in transformed labels.", 1e-9, 1e12),
    };
  }
};
static_assert(std::tuple_size_v<decltype(TaskEntry::fields())> == member_count<TaskEntry>());

/// `events.impression` and `events.sample`.
struct TopicEntry {
  std::string topic;
  static constexpr auto fields() {
    return std::tuple{
        field("topic", &TopicEntry::topic, "The Kafka topic. Default: the event's name.")};
  }
};

/// An outcome under `events`.
struct OutcomeEntry {
  std::string topic;
  Duration window{};
  static constexpr auto fields() {
    using O = OutcomeEntry;
    return std::tuple{field("topic", &O::topic, "The Kafka topic. Default: the event's name."),
                      field("window", &O::window,
                            "How long after its impression an outcome still counts; required.",
                            Duration{1}, Duration{3650LL * 86'400'000})};
  }
};

}  // namespace millrace
