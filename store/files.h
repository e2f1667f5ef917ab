#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace millrace {

/// Files and folders whose change must survive a power cut. Every failure is thrown as StoreError
/// and names the path.

/// Makes the folder and those above it; each new one is on the disk when this returns.
void make_folder(const std::filesystem::path& folder);

/// Syncs a folder: the names in it are on the disk. No name at all is the working folder, which is
/// what a bare file's name leaves as its parent.
void sync_folder(const std::filesystem::path& folder);

/// Writes and syncs a new file.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Renames inside one folder, and syncs that folder.
void rename_in_folder(const std::filesystem::path& from, const std::filesystem::path& to);

/// Renames from one folder to another of the same disk, and syncs both.
void rename_across(const std::filesystem::path& from, const std::filesystem::path& to);

/// Copies a file to a new one, and syncs that.
void copy_file_synced(const std::filesystem::path& from, const std::filesystem::path& to);

/// The hash of a file's bytes: h₀ = 0, hᵢ = hash_bytes(the i-th MiB, hᵢ₋₁).
std::uint64_t hash_file(const std::filesystem::path& path);

}  // namespace millrace
