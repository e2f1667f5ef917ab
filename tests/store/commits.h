#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "learner/base/hash.h"
#include "store/store.h"
#include "tests/support/model_participant.h"

namespace millrace {

/// One commit of all that the participants changed, cleanings included.
inline void commit(Store& store, std::span<ModelParticipant* const> participants) {
  const auto cleanings = store.cleanings();
  Commit commit{store.sequence() + 1, {}};
  for (ModelParticipant* one : participants) {
    commit.parts.push_back({one->participant_name(), one->save(commit.sequence, cleanings)});
  }
  store.write(commit);
}
inline void commit(Store& store, ModelParticipant& participant) {
  ModelParticipant* const one = &participant;
  commit(store, std::span(&one, 1));
}

inline ModelParticipant restored(const Store& store, const std::string& name = "model/test") {
  ModelParticipant copy(name);
  store.restore(copy);
  return copy;
}

/// The digest by its definition, from what the participant itself holds.
inline std::uint64_t digest_of(const ModelParticipant& participant) {
  std::uint64_t sum = 0;
  const std::string name = participant.participant_name();
  for (const auto& [key, value] : participant.entries()) {
    const std::uint64_t set = hash_bytes("entries", hash_bytes(name, 1));
    sum += hash_bytes(value, hash_bytes(key, set));
  }
  for (const auto& [key, value] : participant.values()) {
    if (value.second) sum += hash_bytes(value.first, hash_bytes(key, hash_bytes(name, 2)));
  }
  return sum;
}

}  // namespace millrace
