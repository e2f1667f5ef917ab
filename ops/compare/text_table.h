#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// Columns as wide as what stands in them; the first `left` to the left, the others to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  /// Requires: as many cells as the head.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string print(std::size_t left) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace millrace
