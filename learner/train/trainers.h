#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/result.h"
#include "learner/base/state.h"
#include "learner/data/projection.h"
#include "learner/device/threads.h"
#include "learner/publish/publication.h"
#include "learner/relation/transfer_alarm.h"
#include "learner/train/trainer.h"

namespace millrace {

/// One model on a stream, as a configuration asks for it.
struct ModelPlan {
  std::string name;
  Projection projection;  ///< What it has of the stream.
  LearnerOptions options;
  int twin_of = -1;  ///< The stream's task that it is a twin for, alone; −1: it is none.
};

/// The threads that each of so many models on a stream has for its steps.
int threads_of_each(int threads, std::size_t models);

/// What is known of every model, in their order.
struct TrainerReports {
  std::vector<TrainerReport> models;
  std::size_t champion_index = 0;
  std::vector<TransferReport> twins;  ///< The champion against each of them.
  const TrainerReport& champion() const { return models[champion_index]; }
};

/// The models that learn from one stream of batches, each with its own state, metrics and name; one
/// is the champion, whose scores are served. Each learns as it would alone, to the bit.
///
/// With more than one of `options.train.threads` the models learn beside each other, and share the
/// threads. Memory: beside the models', a copy of the batch for each that has only a part of the
/// stream. State: participant "models": who is champion (not in the digest), and what is compared.
/// Threads: one at a time.
class Trainers final : public Participant {
 public:
  /// The first model that has every task is the champion (the first where none has). Requires: at
  /// least one, names are unique, and beside twins there is one that has every task.
  explicit Trainers(const std::vector<ModelPlan>& plans, const TransferAlarmOptions& alarm = {});
  Trainers(const Trainers&) = delete;
  Trainers& operator=(const Trainers&) = delete;

  /// One step of every model.
  void train(const Batch& batch);

  /// Is told of each measured row of each model's own outputs (Trainer::observe), `task` being the
  /// stream's; of different models at the same time.
  using Observer =
      std::function<void(std::size_t model, int task, const Measurement&, std::uint64_t user)>;
  void observe(Observer observer);

  /// Gives each batch to `follower`, too, beside the models' steps on it: on any of their threads,
  /// one batch at a time.
  using Follower = std::function<void(const Batch&)>;
  void follow(Follower follower) { followers_.push_back(std::move(follower)); }

  /// What became of the comparison with twins, each once, for the log.
  std::vector<std::string> take_notices();

  /// Rows of the stream in the batches before the one that is trained on, since this was made.
  std::uint64_t rows_before() const { return rows_before_; }

  std::size_t size() const { return members_.size(); }
  Trainer& operator[](std::size_t index) { return *members_[index].trainer; }
  const Trainer& operator[](std::size_t index) const { return *members_[index].trainer; }
  const std::string& name_of(std::size_t index) const { return members_[index].shape->model; }
  /// Calls visit(trainer) for each, in their order.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (Member& member : members_) visit(*member.trainer);
  }

  Trainer& champion() { return *members_[champion_].trainer; }
  const Trainer& champion() const { return *members_[champion_].trainer; }
  std::size_t champion_index() const { return champion_; }
  /// From now on that model's scores are served; its next publication is of all its weights.
  /// Error: there is no such model, it does not have every task of the stream, or its weights are
  /// held (Trainer::held); nothing was changed.
  Result<Ok> set_champion(std::string_view name);

  /// `whole`: as Trainer::report.
  TrainerReports report(bool whole = true) const;

  /// What changed of the champion since the last call, and, where this is everything, whose it is.
  Publication publish() { return publish(champion_); }
  /// The same of any model.
  Publication publish(std::size_t index);
  bool is_twin(std::size_t index) const;
  /// Whether its scores are of every task of the stream.
  bool may_serve(std::size_t index) const { return has_all_tasks(index); }

  std::string participant_name() const override { return "models"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override;
  /// The champion of the restored state, where there is no such model any more (or none that may be
  /// it): the first model is in its place.
  const std::optional<std::string>& lost_champion() const { return lost_champion_; }

 private:
  struct Member {
    std::shared_ptr<const ServedShape> shape;
    std::unique_ptr<Trainer> trainer;
    Batch cut;                                  ///< Of the step in progress,
    std::vector<TransferAlarm::Losses> losses;  ///< and by its tasks, where there are twins.
  };
  struct Twin {
    std::size_t member;
    int task;  ///< The stream's.
    TransferAlarm alarm;
    std::vector<std::uint64_t> alarms;  ///< Times that it rose, by the model that was champion.
  };
  void watch(std::size_t index);
  void compare_with_twins(const Batch& batch);
  TransferReport report_of(const Twin& twin) const;
  void restore_alarms(std::string_view bytes);
  void restore_alarm_counts(std::string_view bytes);
  std::size_t find(std::string_view name) const;
  bool has_all_tasks(std::size_t index) const {
    return members_[index].shape->projection.has_all_tasks();
  }
  Result<Ok> may_be_champion(std::string_view name) const;

  std::vector<Member> members_;
  std::vector<Twin> twins_;
  Threads threads_;
  Observer observer_;
  std::vector<Follower> followers_;
  std::uint64_t rows_before_ = 0;
  bool has_alarms_ = false;  ///< The last commit has, or will have, a value of them.
  bool has_alarm_counts_ = false;
  std::size_t champion_ = 0;
  std::optional<std::string> lost_champion_;
};

}  // namespace millrace
