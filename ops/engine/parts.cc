#include "ops/engine/parts.h"

#include <utility>

namespace millrace {

Commit::Part save_part(Participant& participant, std::uint64_t sequence,
                       std::span<const Cleaning> cleanings) {
  const std::string name = participant.participant_name();
  std::vector<Cleaning> own;
  for (const Cleaning& cleaning : cleanings) {
    if (cleaning.participant == name) own.push_back(cleaning);
  }
  return {name, participant.save(sequence, own)};
}

void save_models(Trainers& trainers, std::span<const Cleaning> cleanings, Commit& commit) {
  trainers.for_each([&](Trainer& trainer) {
    commit.parts.push_back(save_part(trainer, commit.sequence, cleanings));
  });
  commit.parts.push_back(save_part(trainers, commit.sequence, cleanings));
}

StateChanges ServiceState::save(std::uint64_t, std::span<const Cleaning>) {
  ByteWriter start;
  start.put(first_start_.ms);
  StateChanges changes;
  changes.values.push_back({"identity", identity_, false});
  if (!std::exchange(configuration_saved_, true)) {
    changes.values.push_back({"configuration", configuration_, false});
  }
  changes.values.push_back({"first_start", start.take(), false});
  return changes;
}

void ServiceState::restore_value(std::string_view name, std::string_view bytes) {
  if (name == "identity") stored_identity_ = bytes;
  if (name == "first_start") first_start_ = {ByteReader(bytes).get<std::int64_t>()};
}

}  // namespace millrace
