#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "learner/base/queue.h"
#include "learner/publish/publication.h"
#include "learner/publish/served_models.h"
#include "learner/publish/serving_model.h"
#include "ops/engine/failure.h"

namespace millrace {

/// What the publisher counts; plain numbers, read by any thread.
struct PublisherProbe {
  std::atomic<std::uint64_t> publications{0};
  std::atomic<double> last_seconds{0};        ///< Of applying a publication.
  std::atomic<std::int64_t> published_ms{0};  ///< When, by the wall clock.
};

/// Makes publications visible to the scorers on a thread of its own, so that waiting for readers to
/// leave a side never holds the trainer up.
/// Threads: `idle` and `publish` on the trainer's thread.
class Publisher {
 public:
  /// Borrows all; what may be seen of the models was just made visible as `first`. `durable` gives
  /// the sequence of the last durable commit: a version's name is that and the count of
  /// publications since.
  /// `others` takes in what is published beside the champion; null: nothing is.
  Publisher(ServingModel& model, ServedModels* others, VersionNumber first, Failure& failure,
            std::function<std::uint64_t()> durable, std::function<EventTime()> clock);
  ~Publisher();

  /// Whether any version is visible.
  bool has_version() const { return model_.has_version(); }
  /// Whether the last publication is visible on both sides.
  bool idle() const { return idle_; }
  /// Requires: idle().
  void publish(Publication champion, std::vector<NamedPublication> others = {});

  const PublisherProbe& probe() const { return probe_; }

 private:
  void work();
  struct Publications {
    Publication champion;
    std::vector<NamedPublication> others;
  };
  void apply(const Publications& publications);

  ServingModel& model_;
  ServedModels* const others_;
  Failure& failure_;
  const std::function<std::uint64_t()> durable_;
  const std::function<EventTime()> clock_;
  VersionNumber version_;
  PublisherProbe probe_;
  std::atomic<bool> idle_{true};
  BoundedQueue<Publications> queue_{1};
  std::thread thread_;
};

}  // namespace millrace
