#include "ingest/sink/row_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "ingest/source/source.h"
#include "learner/base/json_text.h"

namespace millrace {

struct RowFile::Parts {
  std::string path;
  const Schema& schema;
  std::ofstream file;
  std::string line;
};

RowFile::RowFile(const std::string& path, const Schema& schema)
    : parts_(new Parts{path, schema, std::ofstream(path, std::ios::binary | std::ios::trunc), {}}) {
  if (!parts_->file) throw SourceError(path + ": cannot be written: " + std::strerror(errno));
}

RowFile::~RowFile() = default;

void RowFile::write(const JoinedRow& row) {
  std::string& line = parts_->line;
  line = "{\"impression_id\": ";
  if (row.impression_id.empty()) {
    line += "null";  // a sample may have none
  } else {
    append_json_string(line, row.impression_id);
  }
  line += ", \"time\": " + std::to_string(row.time.ms) + ", \"due\": " + std::to_string(row.due.ms);
  line += ", \"watermark\": ";
  line += row.watermark.is_finite() ? std::to_string(row.watermark.ms) : "null";
  line += ", \"labels\": {";
  for (std::size_t t = 0; t < row.labels.size(); ++t) {
    if (t > 0) line += ", ";
    append_json_string(line, parts_->schema.tasks()[t].name);
    line += ": ";
    append_json_number(line, row.labels[t]);
  }
  line += "}}\n";
  parts_->file.write(line.data(), static_cast<std::streamsize>(line.size()));
  if (!parts_->file) throw SourceError(parts_->path + ": cannot be written");
}

void RowFile::flush() {
  if (!parts_->file.flush()) throw SourceError(parts_->path + ": cannot be written");
}

}  // namespace millrace
