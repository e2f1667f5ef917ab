#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// The word among `known` that `word` was most likely meant to be (least edit distance, a third of
/// its letters at most); empty where none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

/// "a, b or c".
std::string join_words(const std::vector<std::string>& words, std::string_view last = "or");

}  // namespace millrace
