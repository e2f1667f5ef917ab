#include "ingest/source/file_source.h"

#include <algorithm>
#include <utility>

#include "ingest/source/line_reader.h"
#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr std::string_view kValue = "files";

// The saved value: a count, then path, position, lines and hash of each file.
void write_file(ByteWriter& writer, std::string_view path, const LineReader::Mark& mark) {
  writer.put_text(path);
  writer.put(mark.position);
  writer.put(mark.lines);
  writer.put(mark.hash);
}

template <class Use>
void read_files(std::string_view bytes, const Use& use) {
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string_view path = reader.get_text();
    LineReader::Mark mark;
    mark.position = reader.get<std::uint64_t>();
    mark.lines = reader.get<std::uint64_t>();
    mark.hash = reader.get<std::uint64_t>();
    use(path, mark);
  }
}

}  // namespace

struct FileSource::Parts {
  // A file that the store has seen; its place in the list is its partition.
  struct Known {
    std::string path;
    LineReader::Mark mark;
    std::unique_ptr<LineReader> reader;  // where it is named now
  };

  Known* find(const std::string& path) {
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const Known& k) { return k.path == path; });
    return found == known.end() ? nullptr : &*found;
  }
  LineReader& reader(std::size_t input) const {
    return *known[static_cast<std::size_t>(inputs[input].partition)].reader;
  }
  std::uint64_t sum(std::uint64_t (*of)(const LineReader&)) const {
    std::uint64_t sum = 0;
    for (const Known& k : known) sum += k.reader ? of(*k.reader) : 0;
    return sum;
  }

  std::vector<std::string> paths;
  std::vector<Known> known;
  std::vector<Input> inputs;
};

FileSource::FileSource(std::vector<std::string> paths) : parts_(std::make_unique<Parts>()) {
  parts_->paths = std::move(paths);
}

FileSource::~FileSource() = default;

void FileSource::start() {
  for (const std::string& path : parts_->paths) {
    Parts::Known* known = parts_->find(path);
    if (known == nullptr) known = &parts_->known.emplace_back(Parts::Known{path, {}, nullptr});
    if (known->reader) throw SourceError("the file " + path + " is named twice");
    known->reader = std::make_unique<LineReader>(path);
    known->reader->resume(known->mark);
  }
  for (std::size_t k = 0; k < parts_->known.size(); ++k) {
    const Parts::Known& known = parts_->known[k];
    if (known.reader) parts_->inputs.push_back({"file", static_cast<int>(k), known.path});
  }
}

const std::vector<Input>& FileSource::inputs() const { return parts_->inputs; }

Head FileSource::peek(std::size_t input, Record& record) {
  LineReader& reader = parts_->reader(input);
  std::string_view line;
  if (!reader.peek(line)) return Head::kAtEnd;
  record = Record{line, {}, static_cast<std::int64_t>(reader.number()), std::nullopt};
  return Head::kRecord;
}

void FileSource::take(std::size_t input) { parts_->reader(input).take(); }

std::int64_t FileSource::position(std::size_t input) const {
  return static_cast<std::int64_t>(parts_->reader(input).mark().position);
}

std::uint64_t FileSource::bytes_read() const {
  return parts_->sum([](const LineReader& reader) { return reader.mark().position; });
}

std::uint64_t FileSource::bytes_in_all() const {
  return parts_->sum([](const LineReader& reader) { return reader.size(); });
}

StateChanges FileSource::save(std::uint64_t, std::span<const Cleaning>) {
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(parts_->known.size()));
  for (const Parts::Known& known : parts_->known) {
    write_file(writer, known.path, known.reader ? known.reader->mark() : known.mark);
  }
  StateChanges changes;
  changes.values.push_back({std::string(kValue), writer.take(), false});
  return changes;
}

void FileSource::restore_value(std::string_view name, std::string_view bytes) {
  if (name != kValue) return;  // of Kafka, which another class reads
  read_files(bytes, [&](std::string_view path, const LineReader::Mark& mark) {
    parts_->known.push_back({std::string(path), mark, nullptr});
  });
}

std::vector<FilePosition> file_positions(std::string_view bytes) {
  std::vector<FilePosition> positions;
  read_files(bytes, [&](std::string_view path, const LineReader::Mark& mark) {
    positions.push_back({std::string(path), mark.position, mark.lines});
  });
  return positions;
}

}  // namespace millrace
