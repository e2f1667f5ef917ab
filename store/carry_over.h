#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/database.h"

namespace millrace {

/// What a migration needs of a store beside Participant: the saved bytes themselves, and a new
/// store that begins with some of them.

/// Every value of a participant of the last commit, in the order of their names.
void for_each_value(const Database& database, std::string_view participant,
                    const std::function<void(std::string_view name, std::string_view bytes,
                                             bool in_digest)>& visit);

/// Every entry that lives in a set, once, in no particular order, cold ones included. Reads the log
/// of the set from its end; two keys are taken for one with a chance of n²/2⁶⁵ (n keys).
/// Memory: about 40 bytes a key outside cold blocks, and one piece.
void for_each_entry(const Database& database, std::string_view participant, std::string_view set,
                    const std::function<void(std::string_view key, std::string_view value)>& visit);

/// Makes the empty database `into` a store that stands at the last commit of `from`, with those of
/// its values and logs of sets for which `keeps` says so, byte for byte; cold blocks stay behind.
/// Several synced writes of bounded size: `into` is of use when this has returned.
struct Keeps {
  std::function<bool(std::string_view participant, std::string_view name)> value;
  std::function<bool(std::string_view participant, std::string_view set)> set;
};
void carry_over(const Database& from, const Keeps& keeps, Database& into);

}  // namespace millrace
