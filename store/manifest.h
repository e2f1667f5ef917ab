#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"
#include "learner/base/time.h"

namespace millrace {

/// What a snapshot consists of: `manifest.json` beside its `db` folder.
struct Manifest {
  struct File {
    std::string name;  ///< In `db`; letters, digits, `-`, `_` and `.`.
    std::uint64_t bytes = 0;
    std::uint64_t hash = 0;  ///< As `hash_file` has it.
  };
  std::uint64_t commit = 0;  ///< The last one that it holds.
  EventTime taken;
  std::vector<File> files;  ///< By name.
};

/// Reads and hashes every file of `database`. Error: throws StoreError.
Manifest make_manifest(std::uint64_t commit, EventTime taken,
                       const std::filesystem::path& database);

std::string print_manifest(const Manifest& manifest);
/// The reverse, of what `print_manifest` wrote. Error: says what is no manifest.
Result<Manifest> parse_manifest(std::string_view text);

/// Whether `database` holds the files of `manifest`, and no others, byte for byte. Reads all.
/// Error: names the first file that differs. Throws StoreError where one cannot be read.
Result<Ok> verify_files(const Manifest& manifest, const std::filesystem::path& database);

}  // namespace millrace
