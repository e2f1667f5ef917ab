#pragma once

#include <span>
#include <string>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/train/trainers.h"
#include "store/store.h"

namespace millrace {

/// One participant's part of a commit; of the cleanings it is given its own alone.
Commit::Part save_part(Participant& participant, std::uint64_t sequence,
                       std::span<const Cleaning> cleanings);

/// The models' parts: of each, and of all of them together.
void save_models(Trainers& trainers, std::span<const Cleaning> cleanings, Commit& commit);

/// What the service itself remembers: what of the configuration may not change, the last
/// configuration, and when the store was first started by the wall clock (stamps in files are
/// judged against it). None is in the digest. Participant "service".
class ServiceState final : public Participant {
 public:
  /// `configuration`: as --print-config prints it, for a later migration.
  ServiceState(std::string identity, std::string configuration, EventTime now)
      : identity_(std::move(identity)),
        configuration_(std::move(configuration)),
        first_start_(now) {}

  /// Of the store, if it had one; otherwise what the constructor was given.
  EventTime first_start() const { return first_start_; }
  /// The stored identity; empty for a new store.
  const std::string& stored_identity() const { return stored_identity_; }

  std::string participant_name() const override { return "service"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  void restored() override {}

 private:
  std::string identity_, configuration_, stored_identity_;
  EventTime first_start_;
  bool configuration_saved_ = false;
};

}  // namespace millrace
