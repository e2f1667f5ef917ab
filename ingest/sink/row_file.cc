#include "ingest/sink/row_file.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>

#include "ingest/source/source.h"

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
    append_json_text(line, row.impression_id);
  }
  line += ", \"time\": " + std::to_string(row.time.ms) + ", \"due\": " + std::to_string(row.due.ms);
  line += ", \"watermark\": ";
  line += row.watermark.is_finite() ? std::to_string(row.watermark.ms) : "null";
  line += ", \"labels\": {";
  for (std::size_t t = 0; t < row.labels.size(); ++t) {
    if (t > 0) line += ", ";
    append_json_text(line, parts_->schema.tasks()[t].name);
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

void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escaped.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), end);
}

}  // namespace millrace
