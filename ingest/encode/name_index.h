#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Finds names that are known beforehand: the features or tasks of a configuration in the fields
/// of a record. Immutable; any thread.
class NameIndex {
 public:
  /// Requires: the names are unique.
  explicit NameIndex(std::vector<std::string> names);

  /// The index of `name`, or −1. `guess` is looked at first: records mostly carry their fields in
  /// one order, so the index after the last one found is nearly always right.
  int find(std::string_view name, std::size_t guess = 0) const {
    if (guess < names_.size() && names_[guess] == name) return static_cast<int>(guess);
    return search(name);
  }

 private:
  int search(std::string_view name) const;

  std::vector<std::string> names_;
  std::vector<int> slots_;  // open addressing, at most half full; −1: empty
};

}  // namespace millrace
