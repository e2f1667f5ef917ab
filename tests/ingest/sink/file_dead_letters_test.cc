// A dead letter in a file must name where it came from and give back its bytes, whatever they are,
// in lines that any JSON reader takes.

#include "ingest/sink/file_dead_letters.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <vector>

#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

DeadLetter letter_of_file(std::string payload) {
  return {.input = {"file", 1, "in \"quotes\".jsonl"},
          .offset = 7,
          .rejection = {Reason::kNotJson, "no JSON"},
          .payload = std::move(payload),
          .key = std::nullopt,
          .headers = {}};
}

// By the table, bit by bit: an oracle that shares no code with the product.
std::string decode_base64(const std::string& text) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bits, bytes;
  EXPECT_EQ(text.size() % 4, 0u);
  for (const char c : text) {
    if (c == '=') break;
    const auto digit = digits.find(c);
    EXPECT_NE(digit, std::string::npos);
    for (int bit = 5; bit >= 0; --bit) bits += (digit >> bit & 1) != 0 ? '1' : '0';
  }
  for (std::size_t i = 0; i + 8 <= bits.size(); i += 8) {
    bytes += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
  }
  return bytes;
}

TEST(Base64, KnownAnswersOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(Base64, AnyBytesComeBack) {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 100; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(decode_base64(base64(bytes)), bytes);
  }
}

TEST(JsonText, OnlyWellFormedUtf8ComesThrough) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(json_text_of("a\"\\\n\x01"), "\"a\\\"\\\\\\u000a\\u0001\"");
  EXPECT_EQ(json_text_of("é€😀"), "\"é€😀\"");
  EXPECT_EQ(json_text_of("\xff"), "\"" + bad + "\"");
  EXPECT_EQ(json_text_of("\xc3"), "\"" + bad + "\"");                                // cut off
  EXPECT_EQ(json_text_of("\xc0\x80"), "\"" + bad + bad + "\"");                      // overlong
  EXPECT_EQ(json_text_of("\xed\xa0\x80"), "\"" + bad + bad + bad + "\"");            // a surrogate
  EXPECT_EQ(json_text_of("\xf4\x90\x80\x80"), "\"" + bad + bad + bad + bad + "\"");  // too high
}

TEST(FileDeadLetters, NamesTheLineOfAFile) {
  const TempFolder folder;
  FileDeadLetters sink(folder / "dead.jsonl");
  EXPECT_TRUE(sink.has_room());
  sink.add(letter_of_file("foobar"));
  EXPECT_TRUE(sink.flush(Duration{0}));
  EXPECT_EQ(
      lines_of(folder / "dead.jsonl"),
      std::vector<std::string>{R"({"file": "in \"quotes\".jsonl", "partition": 1, "line": 7, )"
                               R"("reason": "not_json", "message": "no JSON", )"
                               R"("record": "Zm9vYmFy"})"});
}

TEST(FileDeadLetters, NamesTheOffsetInKafkaAndWhatIsAbsent) {
  const TempFolder folder;
  FileDeadLetters sink(folder / "dead.jsonl");
  sink.add({.input = {"clicks", 2, ""},
            .offset = 12345678901,
            .rejection = {Reason::kWrongType, "field \"time\": \"\xff\""},
            .payload = std::nullopt,
            .key = "k",
            .headers = {{"h", "v"}}});
  sink.flush(Duration{0});
  EXPECT_EQ(
      lines_of(folder / "dead.jsonl"),
      std::vector<std::string>{R"({"topic": "clicks", "partition": 2, "offset": 12345678901, )"
                               R"("reason": "wrong_type", "message": "field \"time\": \")"
                               "\xef\xbf\xbd"
                               R"(\"", "record": null})"});
}

TEST(FileDeadLetters, CutsTheRecordAt64KiB) {
  const TempFolder folder;
  FileDeadLetters sink(folder / "dead.jsonl");
  std::string payload(100'000, 'x');
  payload[65'535] = 'y';
  payload[65'536] = 'z';
  sink.add(letter_of_file(payload));
  sink.flush(Duration{0});
  const std::string line = lines_of(folder / "dead.jsonl").at(0);
  const std::string mark = "\"record\": \"";
  const auto begin = line.find(mark) + mark.size();
  EXPECT_EQ(decode_base64(line.substr(begin, line.size() - 2 - begin)), payload.substr(0, 65'536));
}

TEST(FileDeadLetters, TheFileIsEmptiedAtTheStart) {
  const TempFolder folder;
  std::ofstream(folder / "dead.jsonl") << "old\n";
  FileDeadLetters sink(folder / "dead.jsonl");
  EXPECT_TRUE(lines_of(folder / "dead.jsonl").empty());
}

TEST(FileDeadLetters, AFileThatCannotBeWrittenIsSaid) {
  const TempFolder folder;
  EXPECT_THROW(FileDeadLetters(folder / "none/dead.jsonl"), SourceError);
  FileDeadLetters full("/dev/full");
  full.add(letter_of_file("x"));
  EXPECT_THROW(full.flush(Duration{0}), SourceError);
}

}  // namespace
}  // namespace millrace
