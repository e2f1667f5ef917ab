#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace millrace {

/// One `#include` of a source file.
struct Include {
  std::string path;     ///< Of the file, from the repository's root: "learner/base/hash.cc".
  std::string header;   ///< "learner/base/hash.h", "rocksdb/db.h"
  bool quoted = false;  ///< In quotes, not in angle brackets.
};

/// The paths of all .h, .cc and .cu files below `folder` ("learner"), from the root, sorted.
std::vector<std::string> source_files(const std::string& folder);

/// The lines of a file of the repository.
std::vector<std::string> lines_of(const std::string& path);

/// All includes below `folder`.
std::vector<Include> includes_of(const std::string& folder);

/// "learner/base" of "learner/base/hash.h"; "store" of "store/keys.h".
std::string part_of(const std::string& path);
/// "learner" of "learner/base/hash.h".
std::string folder_of(const std::string& path);

}  // namespace millrace
