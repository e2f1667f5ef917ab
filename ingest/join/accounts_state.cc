#include "ingest/join/accounts_state.h"

#include <cstddef>
#include <cstdint>

namespace millrace {
namespace {

// Every count in the order in which it is kept; one list for writing and reading.
template <class SomeAccounts, class Use>
void for_each_count(SomeAccounts& accounts, Use&& use) {
  auto& impressions = accounts.impressions;
  auto& outcomes = accounts.outcomes;
  for (auto* count :
       {&accounts.events, &impressions.in, &impressions.late, &impressions.duplicate,
        &impressions.finished, &impressions.waiting, &outcomes.in, &outcomes.late,
        &outcomes.duplicate, &outcomes.out_of_window, &outcomes.unmatched, &outcomes.unused,
        &outcomes.applied, &outcomes.waiting, &accounts.samples, &accounts.rows}) {
    use(*count);
  }
}

}  // namespace

void write_accounts(const Accounts& accounts, ByteWriter& writer) {
  for_each_count(accounts, [&](std::uint64_t count) { writer.put(count); });
  writer.put(static_cast<std::uint32_t>(accounts.dead_letters.size()));
  for (const std::uint64_t count : accounts.dead_letters) writer.put(count);
}

Accounts read_accounts(ByteReader& reader) {
  Accounts accounts;
  for_each_count(accounts, [&](std::uint64_t& count) { count = reader.get<std::uint64_t>(); });
  const auto reasons = reader.get<std::uint32_t>();
  if (reasons > accounts.dead_letters.size()) {
    throw StateError("the accounts have reasons of dead letters that this version does not know");
  }
  for (std::uint32_t reason = 0; reason < reasons; ++reason) {
    accounts.dead_letters[reason] = reader.get<std::uint64_t>();
  }
  return accounts;
}

}  // namespace millrace
