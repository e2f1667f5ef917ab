#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "learner/base/fields.h"
#include "learner/base/schedule.h"
#include "learner/data/schema.h"
#include "learner/device/devices.h"
#include "learner/embedding/optimizer_options.h"
#include "learner/train/feedback_options.h"
#include "learner/train/label_options.h"
#include "learner/train/sampling_options.h"

namespace millrace {

enum class Device { kAuto, kCpu, kCuda };
/// Update clipping by block: Clippy (Tang et al. 2023, "Improving training stability for multitask
/// ranking models in recommender systems").
enum class UpdateClipping { kOff, kClippy };
enum class DenseOptimizer { kSgd, kAdagrad, kAdam, kAdamw };

template <>
struct Choices<Device> {
  static constexpr std::array<Choice<Device>, 3> all{
      {{"auto", Device::kAuto}, {"cpu", Device::kCpu}, {"cuda", Device::kCuda, false}}};
};
template <>
struct Choices<UpdateClipping> {
  static constexpr std::array<Choice<UpdateClipping>, 2> all{
      {{"off", UpdateClipping::kOff}, {"clippy", UpdateClipping::kClippy}}};
};
template <>
struct Choices<DenseOptimizer> {
  static constexpr std::array<Choice<DenseOptimizer>, 4> all{{{"sgd", DenseOptimizer::kSgd},
                                                              {"adagrad", DenseOptimizer::kAdagrad},
                                                              {"adam", DenseOptimizer::kAdam},
                                                              {"adamw", DenseOptimizer::kAdamw}}};
};
/// `train.dense`
struct DenseOptimizerOptions {
  DenseOptimizer optimizer = DenseOptimizer::kAdam;
  double rate = 0.003;
  bool task_states = false;
  double momentum = 0;
  double weight_decay = 0.01;
  UpdateClipping clip = UpdateClipping::kOff;
  double clip_relative = 0.5;
  double clip_absolute = 0.01;
  double clip_norm = 0;
  ScheduleOptions schedule = {};
  static constexpr auto fields() {
    using D = DenseOptimizerOptions;
    return std::tuple{
        field("optimizer", &D::optimizer, "Optimiser of the dense weights."),
        field("rate", &D::rate, "Learning rate of the dense weights.", 0.0, 10.0),
        field("task_states", &D::task_states,
              "Whether, of weights that several tasks share, adam, adamw and adagrad keep a state "
              "for each task and divide each task's gradient by its own size (AdaTask), so that "
              "none drowns the others. Costs a backward pass, and an optimiser's memory, a task."),
        field("momentum", &D::momentum, "Of sgd.", 0.0, 0.9999),
        field("weight_decay", &D::weight_decay,
              "Of adamw: the share of its rate by which every weight, but no bias, shrinks in a "
              "step.",
              0.0, 10.0),
        field("clip", &D::clip,
              "Whether a block's update is scaled down so that no weight moves by more than "
              "clip_relative of its size plus clip_absolute."),
        field("clip_relative", &D::clip_relative, "Of the weight's own size; with clip.", 0.0, 1e3),
        field("clip_absolute", &D::clip_absolute, "And beside it; with clip.", 1e-12, 1e3),
        field("clip_norm", &D::clip_norm,
              "The most that the norm of the dense gradient may be, a larger one is scaled down to "
              "it; of a partial batch √φ times its norm counts. 0: no limit.",
              0.0, 1e12),
        field("schedule", &D::schedule, "How the rate changes with the steps.")};
  }
};

/// The `train:` section of the configuration.
struct TrainOptions {
  int batch = 256;
  std::optional<Duration> batch_span = Duration{250};
  Device device = Device::kAuto;
  Products products = Products::kF32;
  int threads = 1;
  int queue = 64;
  DenseOptimizerOptions dense;
  EmbeddingOptimizerOptions embedding;
  std::map<std::string, FeedbackSetting> delayed_feedback;
  FeedbackOptions feedback;
  NegativeSamplingOptions negative_sampling;
  LabelOptions labels;
  std::map<std::string, double> recalibrate;
  double shed = 1;
  std::int64_t seed = 1;

  static auto fields() {
    using T = TrainOptions;
    return std::tuple{
        field("batch", &T::batch, "Rows of a full batch.", 1, 65536),
        field("batch_span", &T::batch_span,
              "Cells of event time in which batches close; off: by size alone.", Duration{1}),
        field("device", &T::device, "What computes the training step."),
        field(
            "products", &T::products,
            "What the matrix products of a step are computed in: f32, or bf16, whose factors are "
            "rounded to 8 bits of mantissa and summed as f32 (weights stay f32, and so does what "
            "serves): faster where the processor has AVX512_BF16, slower elsewhere; both give the "
            "same weights, other ones than f32."),
        field("threads", &T::threads, "Threads of the training step; they never change a bit.", 1,
              64),
        field("queue", &T::queue, "Batches that may wait for the trainer; beyond it, taking waits.",
              1, 65536),
        field("dense", &T::dense, "The optimiser of the dense weights."),
        field("embedding", &T::embedding, "The optimiser of the embedding rows."),
        field(
            "delayed_feedback", &T::delayed_feedback,
            "By task: how a label is learned that may still change: a policy, or {policy: es_dfm, "
            "short_wait: 15m}."),
        field("feedback", &T::feedback,
              "What es_dfm, defer, defuse and dfm learn beside, and how long scores "
              "of labels trained early are kept."),
        field("negative_sampling", &T::negative_sampling,
              "Leaving out rows without a positive label."),
        field("labels", &T::labels, "How much labels count in what is learned."),
        field("recalibrate", &T::recalibrate,
              "By binary task, like {ctr: 20000}: its served logit is scaled and shifted (Platt), "
              "as fitted online to about its last so many measured rows. It changes no weight."),
        field("shed", &T::shed,
              "Load shedding: the share of impressions (and samples) whose rows are trained and "
              "measured; those that are weigh 1 / share.",
              1e-6, 1.0),
        field("seed", &T::seed, "Seed of all random numbers.", 0),
    };
  }
};

}  // namespace millrace
