#pragma once

#include <array>

#include "learner/base/fields.h"

namespace millrace {

/// How occurrences of a key without a row are counted: by key, or in shared counters that may count
/// too many (Fan et al. 2000; Estan and Varghese 2002).
enum class KeyAdmission { kExact, kBloom };
/// What happens to a table that is full.
enum class Eviction { kNone, kOldest };

template <>
struct Choices<KeyAdmission> {
  static constexpr std::array<Choice<KeyAdmission>, 2> all{
      {{"exact", KeyAdmission::kExact}, {"bloom", KeyAdmission::kBloom}}};
};
template <>
struct Choices<Eviction> {
  static constexpr std::array<Choice<Eviction>, 2> all{
      {{"none", Eviction::kNone}, {"oldest", Eviction::kOldest}}};
};

/// The `embeddings:` section of the configuration; the limits hold for each table.
struct EmbeddingOptions {
  int admit_after = 1;
  Duration expire_after{30LL * 86'400'000};
  std::int64_t max_rows = 10'000'000;
  Eviction evict = Eviction::kNone;
  KeyAdmission admission = KeyAdmission::kExact;
  ByteSize admission_memory{16LL << 20};

  static constexpr auto fields() {
    using E = EmbeddingOptions;
    return std::tuple{
        field("admit_after", &E::admit_after, "How often a key is seen before it gets a row.", 1,
              1'000'000),
        field("expire_after", &E::expire_after,
              "A row that no training row has touched for this long, in event time, is dropped.",
              Duration{1000}),
        field("max_rows", &E::max_rows,
              "Rows of a table; keys beyond it use the neutral row, and are counted.", 1),
        field(
            "evict", &E::evict,
            "What a full table does: none refuses new keys, oldest drops, before the next batch, "
            "the sixteenth of its rows that training has not touched for the longest event time."),
        field("admission", &E::admission,
              "How keys on their way to a row are counted: exact, with an entry for each key (at "
              "most max_rows), or bloom, in admission_memory, where a key may get its row too "
              "early."),
        field(
            "admission_memory", &E::admission_memory,
            "Of a table's counters, with admission: bloom; 8 bytes for each key that is new within "
            "expire_after keep those that get a row too early below 1 %.",
            ByteSize{4096}, ByteSize{1LL << 40}),
    };
  }
};

}  // namespace millrace
