#pragma once

#include <memory>
#include <string>

#include "ingest/join/joiner.h"
#include "learner/data/schema.h"

namespace millrace {

/// Writes each emitted row as one line of JSON (`--rows`, contract/join.md, End of input). The file
/// is emptied when it is opened. Throws SourceError where it cannot be written.
/// Threads: one at a time.
class RowFile {
 public:
  /// Borrows `schema`.
  RowFile(const std::string& path, const Schema& schema);
  ~RowFile();

  void write(const JoinedRow& row);
  /// Everything written so far is in the file.
  void flush();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
