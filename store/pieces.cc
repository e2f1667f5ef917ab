#include "store/pieces.h"

#include "learner/base/state.h"

namespace millrace {

std::vector<std::string_view> cut_into_pieces(std::string_view block, std::size_t piece_bytes) {
  if (block.empty()) return {};
  if (block.size() <= piece_bytes) return {block};
  std::vector<std::string_view> pieces;
  std::size_t begin = 0;
  EntryReader reader(block);
  for (EntryReader::Entry entry; reader.next(entry);) {
    const std::string_view last = entry.erased ? entry.key : entry.value;
    const auto end = static_cast<std::size_t>(last.data() + last.size() - block.data());
    if (end - begin >= piece_bytes || end == block.size()) {
      pieces.push_back(block.substr(begin, end - begin));
      begin = end;
    }
  }
  return pieces;
}

}  // namespace millrace
