#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ingest/source/source.h"
#include "learner/base/state.h"

namespace millrace {

/// Files of one JSON object a line; empty lines are skipped and are no records. Several files are
/// partitions 0, 1, … in the order in which the store first saw them. A file is known by its path
/// as given; what was read of it is known by a hash, and a file whose read part changed is refused.
/// A file is read up to the end that it has at the start; a last line without a line end is a line,
/// so when such a file grows later, what was added to that line is read as a line of its own.
///
/// As a participant ("source") it saves position and hash of each file; they are in no digest.
/// Memory: LineReader's, for each file. Threads: one at a time.
class FileSource final : public Source, public Participant {
 public:
  /// Files that the store has seen and that are not named now are not read.
  explicit FileSource(std::vector<std::string> paths);
  ~FileSource() override;

  /// Opens the files and moves to the restored positions, for which what was read before is read
  /// again. Throws SourceError, with the file's name: a file that is missing, cannot be read, is
  /// named twice, or whose read part has changed.
  void start();

  const std::vector<Input>& inputs() const override;
  Head peek(std::size_t input, Record& record) override;
  void take(std::size_t input) override;
  /// Of a file: the byte at which the next line begins.
  std::int64_t position(std::size_t input) const override;
  std::vector<Header> headers(std::size_t) override { return {}; }
  void wait(Duration) override {}
  bool confirm_ends() override { return true; }

  /// Bytes read and bytes in all, for a progress bar.
  std::uint64_t bytes_read() const;
  std::uint64_t bytes_in_all() const;

  std::string participant_name() const override { return "source"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view, std::uint64_t, std::string_view) override {}
  void restored() override {}

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// How far a file was read, as it was committed.
struct FilePosition {
  std::string path;
  std::uint64_t position = 0;  ///< In bytes.
  std::uint64_t lines = 0;     ///< Before the position.
};

/// Reads the value "files" of the participant "source": every file that the store has seen, by
/// partition. Error: throws StateError.
std::vector<FilePosition> file_positions(std::string_view bytes);

}  // namespace millrace
