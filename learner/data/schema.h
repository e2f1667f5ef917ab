#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/fields.h"
#include "learner/base/time.h"
#include "learner/data/derived_keys.h"

namespace millrace {

enum class FeatureKind { kCategorical, kBag, kNumeric, kDense, kCross };
enum class Pooling { kMean, kSum };
/// What is done to a number before anything else: log1p is sign(x)·log1p(|x|).
enum class Transform { kNone, kLog1p };
/// What a label is. A duration is a regression of log1p of a number that is never negative; a count
/// is never negative either, and the output is the logarithm of its rate (Poisson).
enum class TaskKind { kBinary, kRegression, kCount, kDuration };
/// The loss of a regression or a duration (math/loss.h).
enum class RegressionLoss { kSquared, kHuber };
/// When a task's label is learned although it may still change (algorithms 2.14).
enum class FeedbackPolicy { kWait, kFnw, kFnc, kEsDfm, kDefer, kDefuse, kDfm };

template <>
struct Choices<FeatureKind> {
  static constexpr std::array<Choice<FeatureKind>, 5> all{
      {{"categorical", FeatureKind::kCategorical},
       {"bag", FeatureKind::kBag},
       {"numeric", FeatureKind::kNumeric},
       {"dense", FeatureKind::kDense},
       {"cross", FeatureKind::kCross}}};
};
template <>
struct Choices<Pooling> {
  static constexpr std::array<Choice<Pooling>, 2> all{
      {{"mean", Pooling::kMean}, {"sum", Pooling::kSum}}};
};
template <>
struct Choices<Transform> {
  static constexpr std::array<Choice<Transform>, 2> all{
      {{"none", Transform::kNone}, {"log1p", Transform::kLog1p}}};
};
template <>
struct Choices<TaskKind> {
  static constexpr std::array<Choice<TaskKind>, 4> all{{{"binary", TaskKind::kBinary},
                                                        {"regression", TaskKind::kRegression},
                                                        {"count", TaskKind::kCount},
                                                        {"duration", TaskKind::kDuration}}};
};
template <>
struct Choices<RegressionLoss> {
  static constexpr std::array<Choice<RegressionLoss>, 2> all{
      {{"squared", RegressionLoss::kSquared}, {"huber", RegressionLoss::kHuber}}};
};

/// Whether the loss is of the output's distance to the label; else it is a negative log likelihood.
inline bool is_distance(TaskKind kind) {
  return kind == TaskKind::kRegression || kind == TaskKind::kDuration;
}
/// Whether a label below 0 has no meaning.
inline bool is_never_negative(TaskKind kind) {
  return kind == TaskKind::kCount || kind == TaskKind::kDuration;
}
template <>
struct Choices<FeedbackPolicy> {
  static constexpr std::array<Choice<FeedbackPolicy>, 7> all{{{"wait", FeedbackPolicy::kWait},
                                                              {"fnw", FeedbackPolicy::kFnw},
                                                              {"fnc", FeedbackPolicy::kFnc},
                                                              {"es_dfm", FeedbackPolicy::kEsDfm},
                                                              {"defer", FeedbackPolicy::kDefer},
                                                              {"defuse", FeedbackPolicy::kDefuse},
                                                              {"dfm", FeedbackPolicy::kDfm}}};
};

struct Feature {
  std::string name;
  FeatureKind kind = FeatureKind::kCategorical;
  int dimension = 0;  ///< Of the embedding; categorical, bag, cross, and numeric in buckets.
  int width = 0;      ///< Of the vector; dense.
  Pooling pooling = Pooling::kMean;
  Transform transform = Transform::kNone;  ///< Numeric.
  bool standardize = true;                 ///< Numeric: (x − mean) / std, running.
  bool context = false;                    ///< Belongs to a request's context, not to a candidate.
  std::string table;  ///< The embedding table's name; the feature's own if empty.
  /// Numeric, in place of the number: the bucket it is in, with an embedding. Either boundaries, or
  /// how many buckets of equal width the transformed range [least, most] has.
  std::vector<double> boundaries;
  int buckets = 0;
  std::vector<double> range;
  /// Cross: the names of its parts, categorical features and numeric ones in buckets. No event and
  /// no request carries it.
  std::vector<std::string> of;
};

/// Whether a number is an embedding of its bucket.
inline bool is_bucketised(const Feature& feature) {
  return feature.kind == FeatureKind::kNumeric &&
         (!feature.boundaries.empty() || feature.buckets > 0);
}
/// Whether the feature's part of the network's input is made of embedding rows.
inline bool has_embedding(const Feature& feature) {
  return feature.kind == FeatureKind::kCategorical || feature.kind == FeatureKind::kBag ||
         feature.kind == FeatureKind::kCross || is_bucketised(feature);
}

/// A number under the transform of its feature or label, and back.
double transformed(double value, Transform transform);
double transformed_back(double value, Transform transform);

struct Task {
  std::string name;
  TaskKind kind = TaskKind::kBinary;
  /// Of the label of a regression; always log1p of a duration.
  Transform transform = Transform::kNone;
  int given = -1;  ///< The task that is this one's condition, or −1.
  /// With a condition: the product over the whole chain of conditions is trained over all rows;
  /// otherwise the task is trained on the condition's rows.
  bool entire_space = false;
  FeedbackPolicy policy = FeedbackPolicy::kWait;
  /// es_dfm, defer, defuse and dfm: how long after its impression the label is trained first.
  Duration short_wait{};
  /// Added to the logit where it is served and measured: ln r of negatives that were sampled at the
  /// rate r and not weighed for it (algorithms 2.15).
  double logit_shift = 0;
  RegressionLoss loss = RegressionLoss::kSquared;  ///< Of a regression or duration.
  double delta = 1;                                ///< Of Huber's loss, in transformed labels.
};

/// Whether the policy waits a while before the first row.
inline bool has_short_wait(FeedbackPolicy policy) {
  return policy == FeedbackPolicy::kEsDfm || policy == FeedbackPolicy::kDefer ||
         policy == FeedbackPolicy::kDefuse || policy == FeedbackPolicy::kDfm;
}

/// An embedding table; features that name the same one share its rows.
struct Table {
  std::string name;
  int dimension = 0;
  std::uint64_t seed = 0;  ///< Of its keys' hash; a function of the name alone.
};

/// How a cross is made in a batch.
struct Cross {
  int feature = 0;
  int column = 0;            ///< Its own of Batch::columns,
  std::vector<int> columns;  ///< and those of its parts, in their order;
  std::vector<int> parts;    ///< the parts' features.
  std::uint64_t seed = 0;    ///< Of its table.
};

/// The features and tasks of a model by index, and what follows from them. Immutable; any thread.
///
/// The network's input x [B,D] concatenates, in this order: the features of the context, then those
/// of a candidate; each group in the order of the configuration. So what depends on the context
/// alone is the first `context_width()` columns.
class Schema {
 public:
  /// A cross belongs to the context where all its parts do, whatever its entry says.
  /// Requires: names are unique, `given` points at a binary task and has no cycle, features that
  /// share a table have its dimension, sizes are positive, and crosses have parts of the kinds that
  /// may be crossed (ops/config checks what a user wrote).
  Schema(std::vector<Feature> features, std::vector<Task> tasks);

  const std::vector<Feature>& features() const { return features_; }
  const std::vector<Task>& tasks() const { return tasks_; }
  const std::vector<Table>& tables() const { return tables_; }

  /// Indices of features by what a batch holds of them, in the order of the configuration: one
  /// column of keys for each of `key_features` (categorical, bag, cross, and numeric in buckets),
  /// one number for each of `numeric_features`, and the vectors of `dense_features` side by side.
  const std::vector<int>& key_features() const { return key_features_; }
  const std::vector<int>& numeric_features() const { return numeric_features_; }
  const std::vector<int>& dense_features() const { return dense_features_; }
  /// Σ width of the dense features.
  int dense_width() const { return dense_width_; }

  /// Those of one kind: what events and requests hold. None holds a cross.
  const std::vector<int>& features_of(FeatureKind kind) const {
    return of_kind_[static_cast<std::size_t>(kind)];
  }
  /// The column of Batch::columns of a feature in `key_features`; −1 for others.
  int column_of(int feature) const { return column_of_[static_cast<std::size_t>(feature)]; }
  const std::vector<Cross>& crosses() const { return crosses_; }
  bool is_cross(int feature) const {
    return features_[static_cast<std::size_t>(feature)].kind == FeatureKind::kCross;
  }
  /// Requires: is_bucketised.
  const Buckets& buckets_of(int feature) const {
    return buckets_[static_cast<std::size_t>(feature)];
  }

  /// The table of a feature in `key_features`.
  int table_of(int feature) const { return table_of_[static_cast<std::size_t>(feature)]; }
  /// The first column of the feature's part of x.
  int input_offset(int feature) const { return input_offset_[static_cast<std::size_t>(feature)]; }
  /// How many columns of x the feature takes.
  int input_width(int feature) const;
  int inputs() const { return inputs_; }
  int context_width() const { return context_width_; }
  /// Whether any task's label is learned before it is decided.
  bool has_immediate() const { return has_immediate_; }
  /// Whether any task's label is learned with its delay (dfm).
  bool has_delays() const { return has_delays_; }

  /// −1 where there is none of that name.
  int find_feature(std::string_view name) const;
  int find_task(std::string_view name) const;

 private:
  std::vector<Feature> features_;
  std::vector<Task> tasks_;
  std::vector<Table> tables_;
  void add_key_feature(int feature);
  void find_parts();

  std::vector<int> key_features_, numeric_features_, dense_features_;
  std::array<std::vector<int>, 5> of_kind_;
  std::vector<int> table_of_, column_of_, input_offset_;
  std::vector<Cross> crosses_;
  std::vector<Buckets> buckets_;  ///< By feature; empty where it is none.
  int dense_width_ = 0, inputs_ = 0, context_width_ = 0;
  bool has_immediate_ = false, has_delays_ = false;
};

}  // namespace millrace
