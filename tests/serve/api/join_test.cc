// /v1/join/{impression_id} over HTTP: any id comes through its percent-encoding, what is not known
// is 404, and a join that gives no answer is 503.
#include "serve/api/join.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"
#include "tests/support/http_client.h"

namespace millrace {
namespace {

struct JoinRouteTest : ServingTest {
  std::string asked;
  JoinAnswer<std::string> answer = std::optional<std::string>("{}\n");

  void serve() {
    ServeParts given = parts();
    given.join = [this](std::string_view id) {
      asked = id;
      return answer;
    };
    start(std::move(given));
  }
  std::array<std::uint64_t, 4> counts() const {
    std::array<std::uint64_t, 4> counts{};
    std::copy_n(server->probe().join_questions.begin(), counts.size(), counts.begin());
    return counts;
  }
  HttpReply get(const std::string& target) {
    return fetch(server->port(), http_request("GET", target));
  }
};

TEST_F(JoinRouteTest, AnyIdIsAskedFor) {
  serve();
  const std::vector<std::pair<std::string, std::string>> cases{{"/v1/join/i1", "i1"},
                                                               {"/v1/join/i1?pretty", "i1"},
                                                               {"/v1/join/a%2Fb%20c", "a/b c"},
                                                               {"/v1/join/%c3%A9", "\xc3\xa9"},
                                                               {"/v1/join/%7B%25%7d", "{%}"}};
  for (const auto& [target, id] : cases) {
    const HttpReply reply = get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(reply.body, "{}\n");
    EXPECT_EQ(asked, id);
  }
}

TEST_F(JoinRouteTest, WhatIsNoIdIsRefused) {
  serve();
  for (const char* target : {"/v1/join/%", "/v1/join/a%2", "/v1/join/a%zz", "/v1/join/%+1"}) {
    expect_error(get(target), 400, target);
  }
  for (const char* target : {"/v1/join", "/v1/join/", "/v1/join/a/b"}) {
    expect_error(get(target), 404, target);
  }
  EXPECT_EQ(fetch(server->port(), http_request("POST", "/v1/join/a")).status, 405);
  EXPECT_EQ(asked, "");
}

TEST_F(JoinRouteTest, UnknownAndUnanswered) {
  answer = std::optional<std::string>();
  serve();
  expect_error(get("/v1/join/a"), 404, "not known");
  answer = JoinSilence{JoinSilence::Why::kTimedOut, "the join is busy"};
  const HttpReply reply = get("/v1/join/a");
  expect_error(reply, 503, "no answer");
  EXPECT_NE(reply.body.find("the join is busy"), std::string::npos);
  EXPECT_EQ(reply.headers.count("retry-after"), 1u);
}

TEST_F(JoinRouteTest, WhatBecameOfAQuestionIsCounted) {
  using Why = JoinSilence::Why;
  serve();
  get("/v1/join/a");
  answer = std::optional<std::string>();
  get("/v1/join/a");
  get("/v1/join/%");  // asks for nothing
  const std::array whys{Why::kRefused, Why::kTimedOut, Why::kTimedOut,
                        Why::kFailed,  Why::kFailed,   Why::kFailed};
  for (const Why why : whys) {
    answer = JoinSilence{why, "no"};
    EXPECT_EQ(get("/v1/join/a").status, 503);
  }
  EXPECT_EQ(counts(), (std::array<std::uint64_t, 4>{2, 1, 2, 3}));
}

// One question is with the join; as many as serve.max_join_queue wait behind it, the next is
// refused, and other routes do not notice.
TEST_F(JoinRouteTest, QuestionsBeyondTheQueueAreRefusedAtOnce) {
  options.max_join_queue = 2;
  std::promise<void> release;
  std::atomic<int> inside{0};
  ServeParts given = parts();
  given.join = [&, released =
                       release.get_future().share()](std::string_view) -> JoinAnswer<std::string> {
    ++inside;
    released.wait();
    return std::optional<std::string>("{}\n");
  };
  start(std::move(given));
  std::vector<std::unique_ptr<HttpClient>> stuck;
  const auto send = [&] {
    stuck.push_back(std::make_unique<HttpClient>(server->port()));
    stuck.back()->send(http_request("GET", "/v1/join/a"));
  };
  send();
  while (inside == 0) std::this_thread::yield();
  // Which of the others arrive first is open; two find room and one does not.
  for (int i = 0; i < 3; ++i) send();
  while (counts()[1] == 0) std::this_thread::yield();
  EXPECT_EQ(get("/v1/tasks").status, 200);
  EXPECT_EQ(get("/metrics").status, 200);
  release.set_value();
  int answered = 0, refused = 0;
  for (auto& client : stuck) {
    const auto reply = client->receive();
    ASSERT_TRUE(reply);
    answered += reply->status == 200;
    refused += reply->status == 503;
  }
  EXPECT_EQ(answered, 3);
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(counts(), (std::array<std::uint64_t, 4>{3, 1, 0, 0}));
}

TEST_F(JoinRouteTest, WithoutAJoinItIsSaid) {
  start();
  expect_error(get("/v1/join/a"), 503, "no join");
}

}  // namespace
}  // namespace millrace
