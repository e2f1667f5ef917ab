// Says the same about every text as a full parser does, but for what the header promises beyond
// the grammar: integers of any length, paired surrogates, any depth.
#include "ingest/encode/json_check.h"

#include <gtest/gtest.h>

#include <string>

#include "ingest/encode/simdjson_inner.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

TEST(JsonCheck, TakesJson) {
  for (const std::string text : {
           "{}",
           " [ ] ",
           "0",
           "-0",
           "-0.0e-0",
           "1e308",
           "1E-999",
           "0.0000e99999999999999999999",
           "123456789012345678901234567890",
           "true",
           "false",
           "null",
           "\"\"",
           "\"\\u0000\\n\\/\"",
           "\"\\ud83d\\ude00\"",
           "\"\xf4\x8f\xbf\xbf\"",
           "[1,[2,{\"a\":[]}],{}]",
           "{\"a\":{\"b\":[null]},\"a\":1}",
           "\t{\r\n\"a\" : 1 ,\"b\":[ 1 , 2 ]}\n",
       }) {
    EXPECT_FALSE(json_fault(text)) << text;
  }
}

TEST(JsonCheck, SaysWhereItBreaks) {
  const std::pair<std::string, std::size_t> cases[] = {
      {"", 0},
      {" ", 1},
      {"{", 1},
      {"{\"a\"}", 4},
      {"{\"a\":}", 5},
      {"{\"a\":1,}", 7},
      {"{\"a\":1 \"b\":2}", 7},
      {"{a:1}", 1},
      {"[1,]", 3},
      {"[1 2]", 3},
      {"[1}", 2},
      {"[[]", 3},
      {"]", 0},
      {"01", 1},
      {"1.", 2},
      {".5", 0},
      {"+1", 0},
      {"-", 1},
      {"1e", 2},
      {"1e400", 0},
      {"-1.5e400", 0},
      {"NaN", 0},
      {"Infinity", 0},
      {"truE", 0},
      {"nul", 0},
      {"1 1", 2},
      {"\"a", 2},
      {"\"\\x\"", 1},
      {"\"\\u12g4\"", 1},
      {"\"\\ud800\"", 1},
      {"\"\\ud800\\u0041\"", 1},
      {"\"\\udc00\"", 1},
      {"\"a\nb\"", 2},
      {"\"\xff\"", 1},
      {"\"\xc0\x80\"", 1},
      {"\"\xed\xa0\x80\"", 1},
      {"\"\xf4\x90\x80\x80\"", 1},
      {"\"\xe2\x82\"", 1},
      {"\xEF\xBB\xBF{}", 0},
      {std::string("1\0", 2), 1},
      {"'a'", 0},
      {"// x\n1", 0},
  };
  for (const auto& [text, place] : cases) EXPECT_EQ(json_fault(text), place) << text;
}

TEST(JsonCheck, DepthCostsMemoryAlone) {
  std::string deep(1'000'000, '[');
  EXPECT_EQ(json_fault(deep), deep.size());
  deep.append(1'000'000, ']');
  EXPECT_FALSE(json_fault(deep));
}

TEST(JsonCheck, OneValueOutOfMany) {
  const std::string text = R"({"a":"]"},2)";
  EXPECT_EQ(json_value_end(text.data(), text.data() + text.size()), text.data() + 9);
  EXPECT_EQ(json_value_end(text.data(), text.data() + 8), nullptr);
}

TEST(JsonCheck, Surrogates) {
  EXPECT_TRUE(surrogates_are_paired(R"("\\ud800 \n \u00e9 \ud83d\ude00")"));
  EXPECT_FALSE(surrogates_are_paired(R"("\ud83d\\ude00")"));
  EXPECT_FALSE(surrogates_are_paired(R"("\ude00\ud83d")"));
  EXPECT_FALSE(surrogates_are_paired(R"("\uD83D")"));
}

// Words of JSON, half-right ones, and single bytes, put together at random.
std::string random_text(std::uint64_t seed) {
  static const std::string words[] = {
      "{",    "}",      "[",       "]",    ",",     ":",        "\"a\"",        "1",    "-", "0",
      "12.5", "1e5",    "true",    "null", "false", " ",        "\"",           "\\",   "e", ".",
      "\n",   "\"b\":", "\"\\n\"", "nu",   "\x80",  "\xc3\xa9", "\"\xc3\xa9\"", "9e999"};
  std::string text;
  const std::uint32_t count = 1 + philox(seed, 0, 0)[0] % 12;
  for (std::uint64_t i = 1; i <= count; ++i) {
    text += words[philox(seed, 0, i)[0] % std::size(words)];
  }
  return text;
}

// A value by the grammar, with at most `depth` containers inside each other.
void append_value(std::string& text, std::uint64_t seed, std::uint64_t& at, int depth) {
  const auto draw = [&](std::uint32_t count) { return philox(seed, 1, at++)[0] % count; };
  const std::uint32_t kind = draw(depth > 0 ? 6 : 4);
  const std::string scalars[] = {"-12.5e-3", "null", "true", "\"\xc3\xa9\\u00e9\\\"\"",
                                 "0",        "\"\""};
  if (kind < 4) {
    text += scalars[draw(6)];
    return;
  }
  text += kind == 4 ? "[" : "{";
  for (std::uint32_t i = 0, count = draw(4); i < count; ++i) {
    if (i > 0) text += draw(2) ? "," : " ,\n";
    if (kind == 5) text += "\"k\": ";
    append_value(text, seed, at, depth - 1);
  }
  text += kind == 4 ? "]" : "}";
}

void expect_as_parser(simdjson::dom::parser& parser, const std::string& text) {
  const bool parsed = parser.parse(text).error() == simdjson::SUCCESS;
  EXPECT_EQ(!json_fault(text), parsed) << text;
}

TEST(JsonCheck, AgreesWithAParserOnRandomTexts) {
  simdjson::dom::parser parser;
  for (std::uint64_t seed = 0; seed < 30'000; ++seed) expect_as_parser(parser, random_text(seed));
}

TEST(JsonCheck, AgreesWithAParserOnJsonAndItsNeighbours) {
  simdjson::dom::parser parser;
  int json = 0;
  for (std::uint64_t seed = 0; seed < 3'000; ++seed) {
    std::string text;
    std::uint64_t at = 0;
    append_value(text, seed, at, 4);
    EXPECT_FALSE(json_fault(text)) << text;
    expect_as_parser(parser, text);
    for (std::uint64_t change = 0; change < 5; ++change) {
      std::string other = text;
      const auto r = philox(seed, 2, change);
      const std::size_t place = r[0] % other.size();
      if (r[1] % 3 == 0) {
        other.erase(place, 1);
      } else if (r[1] % 3 == 1) {
        other.insert(place, 1, other[r[2] % other.size()]);
      } else {
        other[place] = static_cast<char>(r[2] % 256);
      }
      if (!surrogates_are_paired(other)) continue;
      expect_as_parser(parser, other);
      json += !json_fault(other);
    }
  }
  EXPECT_GT(json, 500);  // both answers were asked for
}

}  // namespace
}  // namespace millrace
