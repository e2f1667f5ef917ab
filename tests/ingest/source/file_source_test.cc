// What replay and its resume rely on: every line once and in order with its number, whatever the
// size of the reads; and a start that stops where a file is not what it was.
#include "ingest/source/file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "ingest/source/line_reader.h"
#include "learner/base/random.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

using Line = std::pair<std::int64_t, std::string>;

struct FileSourceTest : ::testing::Test {
  TempFolder folder;

  std::string write(const std::string& name, const std::string& content) {
    std::string path = folder / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::vector<Line> read_all(FileSource& source, std::size_t input = 0) {
    std::vector<Line> lines;
    Record record;
    while (source.peek(input, record) == Head::kRecord) {
      lines.emplace_back(record.offset, record.payload);
      source.take(input);
    }
    return lines;
  }
  std::vector<Line> read_all(const std::string& content) {
    FileSource source({write("once", content)});
    source.start();
    return read_all(source);
  }
  // What a source that continues from `saved` says when it starts; empty if nothing.
  static std::string complaint(const StateChanges& saved, std::vector<std::string> paths) {
    try {
      FileSource source(std::move(paths));
      source.restore_value(saved.values[0].name, saved.values[0].bytes);
      source.restored();
      source.start();
    } catch (const SourceError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(FileSourceTest, LinesHaveTheirNumbers) {
  EXPECT_EQ(read_all("a\nb\n"), (std::vector<Line>{{1, "a"}, {2, "b"}}));
  EXPECT_EQ(read_all("a\nb"), (std::vector<Line>{{1, "a"}, {2, "b"}}));
  EXPECT_EQ(read_all("a\r\nb\r"), (std::vector<Line>{{1, "a"}, {2, "b"}}));
  EXPECT_EQ(read_all("\n \n\ta\n\r\n  \t\r\nb\n\n"), (std::vector<Line>{{3, "\ta"}, {6, "b"}}));
  EXPECT_EQ(read_all(""), std::vector<Line>{});
  EXPECT_EQ(read_all("\n\n"), std::vector<Line>{});
  EXPECT_EQ(read_all(std::string("\0\n", 2)), (std::vector<Line>{{1, std::string("\0", 1)}}));
}

TEST_F(FileSourceTest, TheHeadStaysUntilItIsTaken) {
  FileSource source({write("a", "one\ntwo\n")});
  source.start();
  Record record;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(source.peek(0, record), Head::kRecord);
    EXPECT_EQ(record.payload, "one");
    EXPECT_EQ(source.position(0), 0);
  }
  source.take(0);
  EXPECT_EQ(source.position(0), 4);
  EXPECT_EQ(source.bytes_read(), 4u);
  EXPECT_EQ(source.bytes_in_all(), 8u);
}

TEST_F(FileSourceTest, LongLinesCrossTheBuffer) {
  std::string content;
  std::vector<Line> expected;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::size_t length = philox(1, 2, i)[0] % 20'000 + (i == 150 ? 3'000'000 : 1);
    expected.emplace_back(i + 1, std::string(length, static_cast<char>('a' + i % 26)));
    content += expected.back().second + "\n";
  }
  EXPECT_EQ(read_all(content), expected);
}

TEST_F(FileSourceTest, OfALongLineOnlyTheBeginningIsKept) {
  constexpr std::size_t kLongest = 100;
  for (const std::size_t length : {99u, 100u, 101u, 5'000u, 3'000'000u}) {
    const std::string x(length, 'x');
    std::string content = "first\n";
    content.append(x).append("\nlast\n").append(x);
    const std::string path = write("long", content);
    LineReader reader(path, kLongest);
    std::vector<LineReader::Mark> marks;
    std::vector<std::size_t> lengths;
    std::vector<std::uint64_t> numbers;
    for (std::string_view line; reader.peek(line); reader.take()) {
      marks.push_back(reader.mark());
      lengths.push_back(line.size());
      numbers.push_back(reader.number());
    }
    const std::size_t kept = std::min(length, kLongest);
    EXPECT_EQ(lengths, (std::vector<std::size_t>{5, kept, 4, kept}));
    EXPECT_EQ(numbers, (std::vector<std::uint64_t>{1, 2, 3, 4}));
    EXPECT_EQ(reader.mark().position, reader.size());
    for (const auto& mark : marks) EXPECT_NO_THROW(LineReader(path, kLongest).resume(mark));
  }
}

TEST_F(FileSourceTest, ResumesBehindWhatWasTakenAtAnyLine) {
  std::string content;
  for (std::size_t i = 0; i < 40; ++i) {
    content.append(i % 3, ' ').append(i % 4 != 0 ? "x" : "").append("\n");
  }
  const std::string path = write("a", content);
  const auto all = read_all(content);
  for (std::size_t taken = 0; taken <= all.size(); ++taken) {
    FileSource first({path});
    first.start();
    std::vector<Line> lines;
    Record record;
    while (lines.size() < taken && first.peek(0, record) == Head::kRecord) {
      lines.emplace_back(record.offset, record.payload);
      first.take(0);
    }
    const StateChanges saved = first.save(1, {});
    EXPECT_FALSE(saved.values[0].in_digest);
    FileSource second({path});
    second.restore_value(saved.values[0].name, saved.values[0].bytes);
    second.start();
    EXPECT_EQ(second.position(0), first.position(0));
    for (Line& line : read_all(second)) lines.push_back(std::move(line));
    EXPECT_EQ(lines, all) << taken;
  }
}

TEST_F(FileSourceTest, AFileThatGrewGoesOn) {
  const std::string path = write("a", "one\ntwo");
  FileSource first({path});
  first.start();
  EXPECT_EQ(read_all(first).size(), 2u);
  const StateChanges saved = first.save(1, {});
  write("a", "one\ntwo\nthree\n");
  FileSource second({path});
  second.restore_value(saved.values[0].name, saved.values[0].bytes);
  second.start();
  const auto lines = read_all(second);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].second, "three");
}

TEST_F(FileSourceTest, AReadPartThatChangedIsRefused) {
  const std::string path = write("a", "one\ntwo\nthree\n");
  FileSource source({path});
  source.start();
  Record record;
  for (int taken = 0; taken < 2; ++taken) {
    ASSERT_EQ(source.peek(0, record), Head::kRecord);
    source.take(0);
  }
  const StateChanges saved = source.save(1, {});

  EXPECT_EQ(complaint(saved, {path}), "");
  write("a", "one\ntwo\nTHREE and more\n");  // not yet read
  EXPECT_EQ(complaint(saved, {path}), "");
  write("a", "one\ntwO\nthree\n");
  EXPECT_THAT(complaint(saved, {path}), AllOf(HasSubstr(path), HasSubstr("has changed")));
  write("a", "one\n\ntw\nthree\n");
  EXPECT_THAT(complaint(saved, {path}), HasSubstr("has changed"));
  write("a", "one\n");
  EXPECT_THAT(complaint(saved, {path}), AllOf(HasSubstr(path), HasSubstr("4 bytes")));
  std::filesystem::remove(path);
  EXPECT_THAT(complaint(saved, {path}), AllOf(HasSubstr(path), HasSubstr("No such file")));
}

TEST_F(FileSourceTest, PartitionsAreInTheOrderFirstSeen) {
  const std::string a = write("a", "1\n"), b = write("b", "2\n"), c = write("c", "3\n");
  FileSource first({b, a});
  first.start();
  EXPECT_EQ(first.inputs()[0].path, b);
  EXPECT_EQ(first.inputs()[1].path, a);
  EXPECT_EQ(read_all(first, 1).size(), 1u);
  const StateChanges saved = first.save(1, {});

  FileSource second({c, a});
  second.restore_value(saved.values[0].name, saved.values[0].bytes);
  second.start();
  ASSERT_EQ(second.inputs().size(), 2u);  // b is not named now
  EXPECT_EQ(second.inputs()[0].path, a);
  EXPECT_EQ(second.inputs()[0].partition, 1);
  EXPECT_EQ(second.inputs()[1].path, c);
  EXPECT_EQ(second.inputs()[1].partition, 2);
  EXPECT_EQ(read_all(second, 0).size(), 0u);
  EXPECT_EQ(read_all(second, 1).size(), 1u);

  // What was not named keeps its place.
  const StateChanges later = second.save(2, {});
  const auto positions = file_positions(later.values[0].bytes);
  ASSERT_EQ(positions.size(), 3u);
  EXPECT_EQ(positions[0].path, b);
  EXPECT_EQ(positions[0].position, 0u);
  EXPECT_EQ(positions[2].path, c);
  EXPECT_EQ(positions[2].position, 2u);
  EXPECT_EQ(positions[2].lines, 1u);
}

TEST_F(FileSourceTest, WhatCannotBeReadIsNamed) {
  const auto none = StateChanges{{{"files", std::string(4, '\0'), false}}, {}, {}};
  EXPECT_THAT(complaint(none, {folder / "missing"}), HasSubstr("missing"));
  EXPECT_THAT(complaint(none, {folder.path().string()}), HasSubstr("no regular file"));
  const std::string a = write("a", "");
  EXPECT_THAT(complaint(none, {a, a}), HasSubstr("named twice"));
}

}  // namespace
}  // namespace millrace
