#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace millrace {

/// How large the pieces are into which a block is cut.
inline constexpr std::size_t kPieceBytes = 4 << 20;

/// Cuts a block (what an EntryWriter wrote) between entries into pieces of about `piece_bytes`:
/// each but the last ends with the first entry that reaches it. One piece where the block is
/// smaller; none where it is empty. A set is cleaned piece by piece, so that no commit has to put a
/// large old block again as a whole.
/// The pieces point into `block`. Cost: one pass over the lengths. Error: throws StateError.
std::vector<std::string_view> cut_into_pieces(std::string_view block,
                                              std::size_t piece_bytes = kPieceBytes);

}  // namespace millrace
