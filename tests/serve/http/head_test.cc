// What may pass as the head of a request: the strict reading of RFC 9112, byte by byte, and the
// same verdict however the bytes arrive.
#include "serve/http/head.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

using State = HeadScanner::State;

HeadVerdict judge(const std::string& text) {
  HeadScanner scanner;
  const State state = scanner.scan(text);
  if (state == State::kMore) return {-1, "incomplete"};
  if (state == State::kRefused) return {scanner.status(), std::string(scanner.message())};
  Head head;
  return read_head(std::string_view(text).substr(0, scanner.head_bytes()), head);
}

TEST(Head, FieldsAndFirstLine) {
  const std::string text =
      "POST /v1/score?x=1 HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  12 \t\r\nX: \r\n\r\nbody";
  HeadScanner scanner;
  ASSERT_EQ(scanner.scan(text), State::kComplete);
  EXPECT_EQ(scanner.head_bytes(), text.size() - 4);
  Head head;
  EXPECT_EQ(read_head(std::string_view(text).substr(0, scanner.head_bytes()), head).status, 0);
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(path_of(head.target), "/v1/score");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.get("Content-Length"), "12");
  EXPECT_EQ(content_length(head), 12U);
  EXPECT_EQ(head.get("x"), "");
  EXPECT_EQ(head.count("X"), 1);
}

TEST(Head, VerdictDoesNotDependOnHowBytesArrive) {
  const std::vector<std::string> texts{
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n"};
  for (const std::string& text : texts) {
    HeadScanner whole, drops;
    const State state = whole.scan(text);
    State last = State::kMore;
    for (std::size_t n = 0; n <= text.size() && last == State::kMore; ++n) {
      last = drops.scan(std::string_view(text).substr(0, n));
    }
    EXPECT_EQ(last, state);
    EXPECT_EQ(drops.status(), whole.status());
    EXPECT_EQ(drops.head_bytes(), whole.head_bytes());
  }
}

TEST(Head, Refusals) {
  const std::string get = "GET / HTTP/1.1\r\n";
  std::string many = get + "Host: a\r\n";
  for (int i = 0; i < 100; ++i) many += "X" + std::to_string(i) + ": 1\r\n";
  const std::vector<std::pair<std::string, int>> cases{
      {get + "Host: a\r\n\r\n", 0},
      {"GET / HTTP/1.0\r\n\r\n", 0},
      {get + "\r\n", 400},                                 // no Host
      {get + "Host: a\r\nHost: a\r\n\r\n", 400},           // two
      {get + "Host: a\n\r\n", 400},                        // bare LF
      {get + "Host: a\r\r\n\r\n", 400},                    // bare CR
      {get + std::string("Host: a\0b\r\n\r\n", 13), 400},  // NUL
      {get + "Host: a\r\nX: \x7f\r\n\r\n", 400},           // DEL
      {get + "Host: a\r\nX: a\tb\r\n\r\n", 0},             // a tab may be
      {get + "Host: a\r\nX: \xc3\xbc\r\n\r\n", 0},         // so may other bytes
      {get + "Host : a\r\n\r\n", 400},                     // blank before the colon
      {get + "Host: a\r\n folded\r\n\r\n", 400},           // obsolete folding
      {get + "Host: a\r\nno colon\r\n\r\n", 400},
      {get + "Host: a\r\n: x\r\n\r\n", 400},
      {"GET /\r\nHost: a\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"\x16\x03\x01\x02", 400},  // TLS spoken to us
      {get + "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 1, 1\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: -1\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: +1\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 0x10\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length:\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
      {get + "Host: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 0},
      {get + "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {get + "Host: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {get + "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {get + "Host: a\r\nContent-Encoding: gzip\r\n\r\n", 415},
      {get + "Host: a\r\nExpect: 100-continue\r\n\r\n", 0},
      {get + "Host: a\r\nExpect: tea\r\n\r\n", 417},
      {get + "Host: a\r\nX: " + std::string(20'000, 'x'), 431},
      {many + "\r\n", 431},
  };
  for (const auto& [text, status] : cases) {
    EXPECT_EQ(judge(text).status, status) << text.substr(0, 120);
  }
}

TEST(Head, HugeLengthIsTheLargestNumber) {
  const std::string text =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n";
  Head head;
  EXPECT_EQ(read_head(text, head).status, 0);
  EXPECT_EQ(content_length(head), SIZE_MAX);
}

TEST(Head, ListsWordsOfFields) {
  const std::string text =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close ,y\r\nConnection: keep-alive\r\n\r\n";
  Head head;
  EXPECT_EQ(read_head(text, head).status, 0);
  EXPECT_TRUE(head.lists("connection", "close"));
  EXPECT_TRUE(head.lists("Connection", "Keep-Alive"));
  EXPECT_FALSE(head.lists("Connection", "clos"));
  EXPECT_FALSE(head.lists("Upgrade", "x"));
}

TEST(Head, PathOfATarget) {
  EXPECT_EQ(path_of("/a/b"), "/a/b");
  EXPECT_EQ(path_of("/a?b?c"), "/a");
  EXPECT_EQ(path_of("http://h:1/a?b"), "/a");
  EXPECT_EQ(path_of("HTTP://h"), "/");
  EXPECT_EQ(path_of("http://h?x"), "/");
  EXPECT_EQ(path_of("*"), "*");
}

TEST(Head, ValuesOfAQuery) {
  EXPECT_EQ(query_of("/a?b?c#d"), "b?c");
  EXPECT_EQ(query_of("/a"), "");
  EXPECT_EQ(query_of("http://h:1/a?"), "");
  EXPECT_EQ(query_value("x=1&model=my+shop%2F2&model=b", "model"), "my shop/2");
  EXPECT_EQ(query_value("model", "model"), "");
  EXPECT_EQ(query_value("model=%4", "model"), "%4");
  EXPECT_EQ(query_value("model=%zz%41%", "model"), "%zzA%");
  EXPECT_EQ(query_value("models=1", "model"), std::nullopt);
  EXPECT_EQ(query_value("", "model"), std::nullopt);
}

}  // namespace
}  // namespace millrace
