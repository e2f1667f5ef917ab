#pragma once

#include "ingest/join/accounts.h"
#include "learner/base/state.h"

namespace millrace {

/// The accounts as they are kept in the store: all counts as u64, in the order of their
/// declaration; the dead letters by their reasons, preceded by the number of reasons (u32), so that
/// a reason may be added at the end.
void write_accounts(const Accounts& accounts, ByteWriter& writer);
/// Error: throws StateError.
Accounts read_accounts(ByteReader& reader);

}  // namespace millrace
