#include "tests/support/feedback_experiment.h"

#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>

#include "ingest/encode/batcher.h"
#include "ingest/event/decode.h"
#include "ingest/join/joiner.h"
#include "learner/evaluate/tally.h"
#include "learner/publish/scorer.h"
#include "learner/publish/serving_model.h"
#include "learner/synthetic/funnel.h"
#include "learner/train/trainer.h"

namespace millrace {
namespace {

enum { kCtr, kCvr };

FunnelOptions funnel_options(const FeedbackExperiment& e) {
  FunnelOptions options;
  options.seed = e.seed;
  options.impressions_per_second = e.impressions_per_second;
  options.users = 3000;
  options.items = 300;
  options.conversion_delay = e.conversion_delay;
  options.click_logit = -1;
  options.conversion_logit = -0.5;
  options.conversion_swing = e.conversion_swing;
  options.conversion_turn = e.conversion_turn;
  return options;
}

Schema make_schema(const FeedbackExperiment& e, const std::string& method) {
  const auto keys = [](const char* name, int dimension, FeatureKind kind) {
    Feature feature;
    feature.name = name;
    feature.kind = kind;
    feature.dimension = dimension;
    return feature;
  };
  Feature price, taste;
  price.name = "price";
  price.kind = FeatureKind::kNumeric;
  price.transform = Transform::kLog1p;
  taste.name = "taste";
  taste.kind = FeatureKind::kDense;
  taste.width = 8;
  std::vector<Task> tasks{Task{.name = "ctr"},
                          Task{.name = "cvr", .given = kCtr, .entire_space = true}};
  for (const auto& choice : Choices<FeedbackPolicy>::all) {
    if (choice.name == method) tasks[kCvr].policy = choice.value;
  }
  tasks[kCvr].short_wait = e.short_wait;
  return {
      {keys("user_id", 8, FeatureKind::kCategorical), keys("item_id", 8, FeatureKind::kCategorical),
       keys("genres", 8, FeatureKind::kBag), price, taste},
      tasks};
}

EventTypes event_types(const FeedbackExperiment& e) {
  EventTypes types;
  types.has_impressions = true;
  types.outcomes = {{.name = "click", .topic = "click", .window = Duration{600'000}},
                    {.name = "conversion", .topic = "conversion", .window = e.window}};
  return types;
}

std::vector<LabelSource> label_sources() {
  std::vector<LabelSource> sources(2);
  sources[kCtr].outcome = 0;
  sources[kCvr].outcome = 1;
  return sources;
}

LearnerOptions learner_options() {
  LearnerOptions options;
  options.model.experts = 2;
  options.model.expert_layers = {32};
  options.model.tower_layers = {16};
  options.balance.method = BalanceMethod::kFixed;
  return options;
}

/// Predictions against the truth: cross-entropy by the known probabilities, order by the labels.
class Judge {
 public:
  void add(double predicted, double truth, bool label) {
    const double p = std::min(std::max(predicted, 1e-9), 1 - 1e-9);
    loss_ -= truth * std::log(p) + (1 - truth) * std::log(1 - p);
    rate_ += truth;
    rows_ += 1;
    const double logit = std::log(p) - std::log1p(-p);
    tally_.add(Measurement{1, label ? 1.0 : 0.0, p, logit, 0});
  }
  double ne() const {
    const double r = rate_ / rows_;
    return loss_ / rows_ / -(r * std::log(r) + (1 - r) * std::log(1 - r));
  }
  double auc() const { return tally_.figures().auc.value_or(0.5); }

 private:
  double loss_ = 0, rate_ = 0, rows_ = 0;
  Tally tally_{true};
};

struct Judges {
  Judge own, entire;
  void add(double cvr, double product, const FunnelTruth& truth) {
    if (truth.clicked) own.add(cvr, truth.cvr, truth.converted);
    entire.add(product, truth.ctr * truth.cvr, truth.converted);
  }
  FeedbackResult result(std::string method) const {
    FeedbackResult result;
    result.method = std::move(method);
    result.ne = own.ne();
    result.auc = own.auc();
    result.entire_ne = entire.ne();
    result.entire_auc = entire.auc();
    return result;
  }
};

/// Join, batches, trainer and scorer in one line, as the pipeline drives them.
class Run {
 public:
  Run(const FeedbackExperiment& e, const std::string& method)
      : oracle_(method == "oracle"),
        schema_(make_schema(e, method)),
        types_(event_types(e)),
        decoder_(schema_, types_),
        joiner_(schema_, types_, label_sources(), JoinOptions{}),
        batcher_(schema_, learner_options().train.batch, Duration{60'000}),
        trainer_("m", schema_, learner_options()),
        serving_(schema_),
        scorer_(schema_, learner_options().model) {
    serving_.apply(trainer_.publish(), {1, 0});
  }

  void take(const FunnelEvent& raw) {
    const bool used = raw.type == "impression" || raw.type == "click" || raw.type == "conversion";
    if (!used) return;
    auto decoded = decoder_.decode_line(raw.json, 1 << 20);
    if (!decoded) throw std::runtime_error(decoded.error().message);
    Event event = std::move(decoded).value();
    if (oracle_) {
      const auto* impression = std::get_if<Impression>(&event);
      if (impression == nullptr) return;
      const FunnelTruth& truth = *raw.truth;
      event = Sample{.id = impression->id,
                     .time = impression->time,
                     .features = impression->features,
                     .sampling_rate = 1,
                     .labels = {truth.clicked ? 1.0 : 0.0, truth.converted ? 1.0 : 0.0}};
    }
    joiner_.add(std::move(event), rows_);
    add_rows();
    batcher_.close_passed(EventTime::before_all(), joiner_.newest(), closed_);
    for (bool more = true; more;) {
      more = joiner_.advance(1000, rows_);
      add_rows();
    }
    batcher_.close_passed(joiner_.watermark(), joiner_.newest(), closed_);
    train();
  }

  /// (P(conversion | click), P(click and conversion)) by the model of this moment.
  std::pair<double, double> score(const FunnelEvent& raw) {
    auto decoded = decoder_.decode_line(raw.json, 1 << 20);
    if (!decoded) throw std::runtime_error(decoded.error().message);
    const auto& impression = std::get<Impression>(decoded.value());
    Batch row = empty_batch(schema_, Stream::kAtOnce);
    append_features(schema_, impression.features, row);
    scorer_.score(serving_, row, row, scores_);
    return {scores_.values[kCvr], double{scores_.values[kCtr]} * scores_.values[kCvr]};
  }

  std::optional<double> reported_ne() const {
    return trainer_.report().tasks[kCvr].all.normalized_entropy;
  }

 private:
  void add_rows() {
    for (const JoinedRow& row : rows_) batcher_.add(row, joiner_.newest(), closed_);
    rows_.clear();
  }
  void train() {
    for (const Batch& batch : closed_) trainer_.train(batch);
    if (!closed_.empty()) serving_.apply(trainer_.publish(), {1, ++version_});
    closed_.clear();
  }

  const bool oracle_;
  const Schema schema_;
  const EventTypes types_;
  Decoder decoder_;
  Joiner joiner_;
  Batcher batcher_;
  Trainer trainer_;
  ServingModel serving_;
  Scorer scorer_;
  Scores scores_;
  std::vector<JoinedRow> rows_;
  std::vector<Batch> closed_;
  std::uint64_t version_ = 0;
};

}  // namespace

FeedbackResult run_feedback_method(const FeedbackExperiment& e, const std::string& method) {
  const auto begin = std::chrono::steady_clock::now();
  Funnel funnel(funnel_options(e));
  Run run(e, method);
  Judges judges;
  while (funnel.impressions() < e.impressions) {
    const FunnelEvent event = funnel.next();
    if (event.truth && funnel.impressions() > e.impressions / 2) {
      const auto [cvr, product] = run.score(event);
      judges.add(cvr, product, *event.truth);
    }
    run.take(event);
  }
  FeedbackResult result = judges.result(method);
  result.reported_ne = run.reported_ne();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

FeedbackResult score_truth(const FeedbackExperiment& e) {
  Funnel funnel(funnel_options(e));
  Judges judges;
  while (funnel.impressions() < e.impressions) {
    const FunnelEvent event = funnel.next();
    if (!event.truth || funnel.impressions() <= e.impressions / 2) continue;
    judges.add(event.truth->cvr, event.truth->ctr * event.truth->cvr, *event.truth);
  }
  return judges.result("truth");
}

}  // namespace millrace
