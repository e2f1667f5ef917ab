// Files that stand beside or travel between stores. The first byte says which: a snapshot's
// manifest, a tar file to import, or the side file.
#include <filesystem>
#include <fstream>

#include "learner/base/check.h"
#include "store/error.h"
#include "store/manifest.h"
#include "store/side_file.h"
#include "store/snapshot.h"
#include "store/tar.h"
#include "tests/fuzz/target.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void check_manifest(std::string_view text) {
  const auto manifest = parse_manifest(text);
  fuzz_counts.add(bool{manifest});
  if (!manifest) return;
  for (const Manifest::File& file : manifest->files) {
    MILLRACE_CHECK(file.name.find('/') == std::string::npos && !file.name.starts_with('.'));
  }
  const std::string printed = print_manifest(*manifest);
  const auto again = parse_manifest(printed);
  MILLRACE_CHECK(again);
  MILLRACE_CHECK(print_manifest(*again) == printed);
}

// Nothing but what lies in the file comes out of it.
void check_tar(const fs::path& folder, std::string_view bytes) {
  write(folder / "in.tar", bytes);
  bool whole = true;
  try {
    TarReader tar(folder / "in.tar");
    std::uint64_t extracted = 0;
    for (int i = 0; tar.next(); ++i) {
      const fs::path to = folder / ("out-" + std::to_string(i));
      tar.extract(to);
      extracted += fs::file_size(to);
    }
    MILLRACE_CHECK(extracted <= bytes.size());
  } catch (const StoreError&) {
    whole = false;
  }
  fuzz_counts.add(whole);
  // As a snapshot it is refused: none of these holds a database.
  SnapshotFolder snapshots(folder / "snapshots");
  bool imported = true;
  try {
    snapshots.import_from(folder / "in.tar");
  } catch (const StoreError&) {
    imported = false;
  }
  MILLRACE_CHECK(!imported && snapshots.list().empty());
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    MILLRACE_CHECK(name == "in.tar" || name == "snapshots" || name.starts_with("out-"));
    if (name != "snapshots") fs::remove(entry.path());
  }
}

void check_side_file(const fs::path& folder, std::string_view bytes) {
  write(folder / "acknowledged", bytes);
  const auto found = read_acknowledged(folder);
  fuzz_counts.add(found.has_value());
  if (found) {
    write_acknowledged(folder, *found);
    const auto again = read_acknowledged(folder);
    MILLRACE_CHECK(again && again->commit == found->commit && again->named == found->named);
  }
  fs::remove(folder / "acknowledged");
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  static const TempFolder folder;
  if (size == 0) return 0;
  const std::string_view bytes = fuzz_text(data, size).substr(1);
  switch (data[0]) {
    case 't':
      check_tar(folder.path(), bytes);
      break;
    case 'a':
      check_side_file(folder.path(), bytes);
      break;
    default:
      check_manifest(bytes);
  }
  return 0;
}
