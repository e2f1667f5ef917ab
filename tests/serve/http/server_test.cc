// The HTTP endpoint under clients that do as they should and clients that do not: statuses, limits,
// deadlines, pipelining, draining and stopping, all over real sockets.
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

struct ServerTest : ServingTest {
  void SetUp() override {
    ServingTest::SetUp();
    publish_first();
  }
};

TEST_F(ServerTest, PathsAndMethods) {
  start();
  struct Case {
    const char* method;
    const char* target;
    int status;
    const char* allow;
  };
  const std::vector<Case> cases{
      {"GET", "/livez", 200, ""},
      {"GET", "/livez?verbose", 200, ""},
      {"GET", "http://localhost/livez", 200, ""},
      {"GET", "/readyz", 200, ""},
      {"GET", "/metrics", 200, ""},
      {"GET", "/v1/tasks", 200, ""},
      {"GET", "/v1/relations", 200, ""},
      {"GET", "/v1/gates", 200, ""},
      {"GET", "/v1/importance", 200, ""},
      {"GET", "/v1/metrics-history", 200, ""},
      {"GET", "/openapi.yaml", 200, ""},
      {"GET", "/", 404, ""},
      {"GET", "/livez/", 404, ""},
      {"GET", "/v1", 404, ""},
      {"FOO", "/nothing", 404, ""},
      {"GET", "/../livez", 404, ""},
      {"OPTIONS", "*", 404, ""},
      {"GET", "/v1/score", 405, "POST"},
      {"PUT", "/v1/rank", 405, "POST"},
      {"DELETE", "/metrics", 405, "GET, HEAD"},
      {"POST", "/livez", 405, "GET, HEAD"},
      {"OPTIONS", "/readyz", 405, "GET, HEAD"},
      {"FOO", "/v1/tasks", 405, "GET, HEAD"},
      {"GET", "/v1/admin/snapshot", 405, "POST"},
      {"post", "/v1/score", 405, "POST"},
  };
  for (const Case& c : cases) {
    const std::string context = std::string(c.method) + " " + c.target;
    const HttpReply reply = fetch(server->port(), http_request(c.method, c.target));
    if (c.status == 200) {
      EXPECT_EQ(reply.status, 200) << context;
      EXPECT_FALSE(reply.body.empty()) << context;
    } else {
      expect_error(reply, c.status, context);
    }
    EXPECT_EQ(reply.headers.contains("allow") ? reply.headers.at("allow") : "", c.allow) << context;
  }
}

TEST_F(ServerTest, HeadAnswersAsGetWithoutTheBody) {
  start();
  HttpClient client(server->port());
  for (const char* path : {"/livez", "/readyz", "/metrics", "/v1/tasks", "/openapi.yaml"}) {
    ASSERT_TRUE(client.send(http_request("GET", path)));
    const auto whole = client.receive();
    ASSERT_TRUE(client.send(http_request("HEAD", path)));
    const auto head = client.receive(false);
    ASSERT_TRUE(whole && head) << path;
    EXPECT_EQ(head->status, 200);
    EXPECT_EQ(head->headers.at("content-length"), std::to_string(whole->body.size())) << path;
    EXPECT_EQ(head->headers.at("content-type"), whole->headers.at("content-type"));
  }
  EXPECT_EQ(fetch(server->port(), http_request("HEAD", "/v1/score"), false).status, 405);
}

TEST_F(ServerTest, ContentTypes) {
  start();
  const std::vector<std::pair<std::string, int>> cases{
      {"", 200},
      {"Content-Type: application/json\r\n", 200},
      {"Content-Type: application/json; charset=utf-8\r\n", 200},
      {"Content-Type: APPLICATION/JSON ;x=y\r\n", 200},
      {"Content-Type: application/vnd.shop+json\r\n", 200},
      {"Content-Type: application/x-www-form-urlencoded\r\n", 200},
      {"Content-Type: text/plain\r\n", 200},
      {"Content-Type: application/xml\r\n", 415},
      {"Content-Type: text/html\r\n", 415},
      {"Content-Type: multipart/form-data; boundary=x\r\n", 415},
      {"Content-Type: application/x-protobuf\r\n", 415},
      {"Content-Type: jsonish\r\n", 415},
      {"Content-Encoding: gzip\r\n", 415},
  };
  for (const auto& [header, status] : cases) {
    const HttpReply reply = post("/v1/score", "{}", header);
    EXPECT_EQ(reply.status, status) << header;
    if (status != 200) expect_error(reply, status, header);
  }
}

TEST_F(ServerTest, MalformedRequestsAreRefusedAndTheConnectionEnds) {
  start();
  const std::string host = "Host: a\r\n";
  const std::vector<std::pair<std::string, int>> cases{
      {"nonsense\r\n\r\n", 400},
      {"GET /livez HTTP/1.1\r\n\r\n", 400},
      {"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET /livez HTTP/1.1\nHost: a\n\n", 400},
      {"GET /livez HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
      {"GET /livez HTTP/3.0\r\nHost: a\r\n\r\n", 400},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"POST /v1/score HTTP/1.1\r\n" + host +
           "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
       400},
      {"POST /v1/score HTTP/1.1\r\n" + host + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
       400},
      {"POST /v1/score HTTP/1.1\r\n" + host + "Content-Length: two\r\n\r\n{}", 400},
      {"POST /v1/score HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n{}", 501},
      {"POST /v1/score HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}", 400},
      {"POST /v1/score HTTP/1.1\r\n" + host + "Expect: gold\r\nContent-Length: 2\r\n\r\n{}", 417},
      {"GET /livez HTTP/1.1\r\n" + host + "X: " + std::string(17'000, 'x') + "\r\n\r\n", 431},
  };
  for (const auto& [text, status] : cases) {
    HttpClient client(server->port());
    ASSERT_TRUE(client.send(text));
    const auto reply = client.receive();
    ASSERT_TRUE(reply) << text.substr(0, 100);
    expect_error(*reply, status, text.substr(0, 100));
    EXPECT_EQ(reply->headers.at("connection"), "close");
    client.shut_down_sending();
    EXPECT_TRUE(client.is_closed()) << text.substr(0, 100);
  }
}

TEST_F(ServerTest, BodiesInChunksAndAtTheLimit) {
  options.max_body = ByteSize{2048};
  start();
  const std::string chunked =
      "POST /v1/score HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  HttpClient client(server->port());
  ASSERT_TRUE(
      client.send(chunked + "7;x=y\r\n{\"candi\r\nD\r\ndates\":[{}]}\n\r\n0\r\nT: 1\r\n\r\n"));
  auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200) << reply->body;
  // The same connection goes on.
  const std::string fits = "{\"x\":\"" + std::string(2040, 'x') + "\"}";
  ASSERT_EQ(fits.size(), 2048U);
  ASSERT_TRUE(client.send(http_request("POST", "/v1/score", fits)));
  reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  // A declared length is refused before the body: without a byte of it.
  ASSERT_TRUE(client.send("POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n"));
  reply = client.receive();
  ASSERT_TRUE(reply);
  expect_error(*reply, 413, "declared");
  HttpClient endless(server->port());
  ASSERT_TRUE(endless.send(chunked + "1000\r\n" + std::string(4096, 'x') + "\r\n"));
  reply = endless.receive();
  ASSERT_TRUE(reply);
  expect_error(*reply, 413, "in chunks");
  expect_error(post("/v1/admin/snapshot", std::string(70'000, 'x')), 413, "a route without a body");
}

// A client that sends a body of megabytes whatever is said sees the answer, not a reset.
TEST_F(ServerTest, LargeRefusedBodyStillGetsItsAnswer) {
  options.max_body = ByteSize{1024};
  start();
  for (int i = 0; i < 5; ++i) {
    HttpClient client(server->port());
    client.send(http_request("POST", "/v1/score", std::string(8 << 20, 'x')));
    const auto reply = client.receive();
    ASSERT_TRUE(reply);
    expect_error(*reply, 413, "8 MiB");
  }
}

TEST_F(ServerTest, ContinuesWhenAskedTo) {
  start();
  HttpClient client(server->port());
  ASSERT_TRUE(client.send(
      "POST /v1/score HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  auto reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 100);
  ASSERT_TRUE(client.send("{}"));
  reply = client.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  std::string sent = "\r\n";
  for (int i = 0; i < 50; ++i) {
    sent +=
        http_request("POST", "/v1/score", R"({"candidates":[{"id":)" + std::to_string(i) + "}]}");
    sent += http_request("GET", i % 2 == 0 ? "/livez" : "/nothing");
  }
  HttpClient client(server->port());
  ASSERT_TRUE(client.send(sent));
  for (int i = 0; i < 50; ++i) {
    const auto scored = client.receive();
    ASSERT_TRUE(scored);
    EXPECT_NE(scored->body.find("{\"id\":" + std::to_string(i) + ","), std::string::npos);
    const auto other = client.receive();
    ASSERT_TRUE(other);
    EXPECT_EQ(other->status, i % 2 == 0 ? 200 : 404);
  }
}

TEST_F(ServerTest, KeepAliveIsAsTheClientWantsIt) {
  start();
  {
    HttpClient client(server->port());
    client.send(http_request("GET", "/livez", {}, "Connection: close\r\n"));
    const auto reply = client.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->headers.at("connection"), "close");
    EXPECT_TRUE(client.is_closed());
  }
  {
    HttpClient client(server->port());
    client.send("GET /livez HTTP/1.0\r\n\r\n");
    ASSERT_TRUE(client.receive());
    EXPECT_TRUE(client.is_closed());
  }
  {
    HttpClient client(server->port());
    client.send("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ASSERT_TRUE(client.receive());
    client.send("GET /livez HTTP/1.0\r\n\r\n");
    EXPECT_TRUE(client.receive());
  }
}

TEST_F(ServerTest, RequestIds) {
  start();
  auto id_of = [&](const std::string& header) {
    return fetch(server->port(), http_request("GET", "/livez", {}, header))
        .headers.at("x-request-id");
  };
  EXPECT_EQ(id_of("X-Request-Id: abc-1.2_3\r\n"), "abc-1.2_3");
  EXPECT_NE(id_of("X-Request-Id: <script>\r\n"), "<script>");
  EXPECT_NE(id_of("X-Request-Id: " + std::string(65, 'a') + "\r\n"), std::string(65, 'a'));
  EXPECT_NE(id_of(""), id_of(""));
}

TEST_F(ServerTest, DeadlinesForHeadBodyAndIdleness) {
  options.header_timeout = Duration{150};
  options.body_timeout = Duration{150};
  options.idle_timeout = Duration{150};
  start();
  const auto begin = std::chrono::steady_clock::now();
  {  // A head that comes drop by drop.
    HttpClient client(server->port());
    bool open = true;
    std::thread drops([&] {
      for (int i = 0; i < 100 && open; ++i) {
        open = client.send(i == 0 ? "GET /livez HTTP/1.1\r\nX: " : "x");
        std::this_thread::sleep_for(20ms);
      }
    });
    const auto reply = client.receive();
    drops.join();
    ASSERT_TRUE(reply);
    expect_error(*reply, 408, "slow head");
  }
  {  // A body that does not come.
    HttpClient client(server->port());
    client.send("POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
    const auto reply = client.receive();
    ASSERT_TRUE(reply);
    expect_error(*reply, 408, "slow body");
  }
  {  // Nothing at all, at first and after an answer: closed without a word.
    HttpClient silent(server->port());
    EXPECT_TRUE(silent.is_closed());
    HttpClient client(server->port());
    client.send(http_request("GET", "/livez"));
    EXPECT_TRUE(client.receive());
    EXPECT_TRUE(client.is_closed());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 8s);
}

TEST_F(ServerTest, SlowReaderIsCutOff) {
  options.write_timeout = Duration{200};
  ServeParts given = parts();
  given.metrics = [] { return std::string(64 << 20, '#'); };
  start(std::move(given));
  HttpClient client(server->port());
  client.send(http_request("GET", "/metrics"));
  std::this_thread::sleep_for(600ms);
  EXPECT_FALSE(client.receive());  // Some of it came, never all.
  EXPECT_EQ(get("/livez").status, 200);
}

TEST_F(ServerTest, ConnectionsBeyondTheLimitAreAnswered503) {
  options.max_connections = 2;
  start();
  HttpClient one(server->port()), two(server->port());
  for (HttpClient* client : {&one, &two}) {
    client->send(http_request("GET", "/livez"));
    EXPECT_TRUE(client->receive());
  }
  {
    HttpClient three(server->port());
    three.send(http_request("GET", "/livez"));
    const auto reply = three.receive();
    ASSERT_TRUE(reply);
    expect_error(*reply, 503, "third connection");
    EXPECT_TRUE(reply->headers.contains("retry-after"));
    EXPECT_EQ(server->probe().connections_refused.load(), 1U);
  }
  one.send(http_request("GET", "/livez", {}, "Connection: close\r\n"));
  EXPECT_TRUE(one.receive());
  EXPECT_TRUE(one.is_closed());
  // The place is free again, perhaps a moment later.
  int status = 0;
  for (int i = 0; i < 100 && status != 200; ++i) {
    std::this_thread::sleep_for(10ms);
    status = get("/livez").status;
  }
  EXPECT_EQ(status, 200);
}

// While every scoring thread is stuck and its queue full, scoring is refused at once and the probes
// of life and the metrics answer as ever.
TEST_F(ServerTest, ProbesDoNotQueueBehindScoring) {
  options.threads = 1;
  options.max_queue = 2;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<int> inside{0};
  ServeParts given = parts();
  given.clock = [&, released] {
    ++inside;
    released.wait();
    return EventTime{1'000'420};
  };
  start(std::move(given));
  std::vector<std::unique_ptr<HttpClient>> stuck;
  for (int i = 0; i < 3; ++i) {
    stuck.push_back(std::make_unique<HttpClient>(server->port()));
    stuck.back()->send(http_request("POST", "/v1/score", "{}"));
    while (inside == 0) std::this_thread::sleep_for(1ms);  // The first is being worked on.
    std::this_thread::sleep_for(20ms);
  }
  expect_error(post("/v1/score", "{}"), 503, "the queue is full");
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(get("/readyz").status, 200);
  EXPECT_EQ(get("/metrics").status, 200);
  EXPECT_EQ(get("/v1/tasks").status, 200);
  release.set_value();
  for (auto& client : stuck) {
    const auto reply = client->receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200);
  }
}

TEST_F(ServerTest, WaitingTooLongForATurnIs503) {
  options.threads = 1;
  options.handler_timeout = Duration{50};
  ServeParts given = parts();
  given.clock = [] {
    std::this_thread::sleep_for(200ms);
    return EventTime{1'000'420};
  };
  start(std::move(given));
  HttpClient first(server->port()), second(server->port());
  first.send(http_request("POST", "/v1/score", "{}"));
  std::this_thread::sleep_for(50ms);
  second.send(http_request("POST", "/v1/score", "{}"));
  const auto served = first.receive();
  const auto late = second.receive();
  ASSERT_TRUE(served && late);
  EXPECT_EQ(served->status, 200);
  expect_error(*late, 503, "waited");
}

TEST_F(ServerTest, AnExceptionIsAnsweredAndLoggedAndNotTold) {
  ServeParts given = parts();
  std::atomic<int> logged{0};
  given.metrics = []() -> std::string { throw std::runtime_error("secret of the house"); };
  given.log = [&](std::string_view level, const std::string& message) {
    EXPECT_EQ(level, "error");
    EXPECT_NE(message.find("secret of the house"), std::string::npos);
    ++logged;
  };
  start(std::move(given));
  const HttpReply reply = get("/metrics");
  expect_error(reply, 500, "metrics");
  EXPECT_EQ(reply.body.find("secret"), std::string::npos);
  EXPECT_EQ(logged, 1);
  EXPECT_EQ(get("/livez").status, 200);
}

TEST_F(ServerTest, DrainingIsNotReadyButServes) {
  start();
  EXPECT_EQ(get("/readyz").status, 200);
  server->drain();
  expect_error(get("/readyz"), 503, "draining");
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_EQ(post("/v1/score", "{}").status, 200);
}

TEST_F(ServerTest, StopLetsRequestsInFlightFinish) {
  ServeParts given = parts();
  std::atomic<bool> inside{false};
  given.clock = [&] {
    inside = true;
    std::this_thread::sleep_for(300ms);
    return EventTime{1'000'420};
  };
  start(std::move(given));
  HttpClient idle(server->port()), busy(server->port());
  idle.send(http_request("GET", "/livez"));
  ASSERT_TRUE(idle.receive());
  busy.send(http_request("POST", "/v1/score", "{}"));
  while (!inside) std::this_thread::sleep_for(1ms);
  const int port = server->port();
  const auto begin = std::chrono::steady_clock::now();
  std::thread stopper([&] { server->stop(Duration{10'000}); });
  EXPECT_TRUE(idle.is_closed());
  const auto reply = busy.receive();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->headers.at("connection"), "close");
  EXPECT_TRUE(busy.is_closed());
  stopper.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_THROW(HttpClient{port}, std::runtime_error);
}

TEST_F(ServerTest, StopDoesNotWaitBeyondItsGrace) {
  start();
  HttpClient half(server->port());
  half.send("POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(get("/livez").status, 200);  // So the half request was read.
  const auto begin = std::chrono::steady_clock::now();
  server->stop(Duration{200});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);
  EXPECT_TRUE(half.is_closed());
  server->stop(Duration{200});  // A second time does nothing.
}

TEST_F(ServerTest, CountsAnswersByRouteAndStatus) {
  start();
  post("/v1/score", "{}");
  post("/v1/score", R"({"candidates":[{"item_id":"m3","genres":["x"]},{}]})");
  post("/v1/rank", "{");
  get("/nothing");
  get("/livez");
  const ServeProbe& probe = server->probe();
  auto count = [&](Route route, std::size_t status) {
    return probe.answers[static_cast<std::size_t>(route)][status].load();
  };
  EXPECT_EQ(count(Route::kScore, 2), 2U);
  EXPECT_EQ(count(Route::kRank, 4), 1U);
  EXPECT_EQ(count(Route::kOther, 4), 1U);
  EXPECT_EQ(count(Route::kLivez, 2), 1U);
  EXPECT_EQ(probe.candidates.load(), 2U);
  EXPECT_EQ(probe.keys.load(), 2U);
  EXPECT_EQ(probe.unknown_keys.load(), 1U);
  std::uint64_t timed = 0;
  for (const auto& bucket : probe.total.buckets) timed += bucket.load();
  EXPECT_EQ(timed, 3U);
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  start();
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      HttpClient client(server->port());
      for (int i = 0; i < 50; ++i) {
        const std::string id = std::to_string(c * 1000 + i);
        client.send(http_request("POST", "/v1/score", R"({"candidates":[{"id":)" + id + "}]}"));
        const auto reply = client.receive();
        const bool good = reply && reply->status == 200 &&
                          reply->body.find("{\"id\":" + id + ",") != std::string::npos;
        if (good) ++right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 400);
}

struct NotReadyTest : ServingTest {};

TEST_F(NotReadyTest, BeforeTheFirstVersion) {
  start();
  expect_error(get("/readyz"), 503, "not ready");
  expect_error(post("/v1/score", "{}"), 503, "score");
  EXPECT_EQ(get("/livez").status, 200);
  EXPECT_NE(get("/v1/tasks").body.find("\"version\":null"), std::string::npos);
  publish_first();
  EXPECT_EQ(get("/readyz").status, 200);
  EXPECT_EQ(post("/v1/score", "{}").status, 200);
}

TEST_F(NotReadyTest, AddressesThatCannotBeListenedOn) {
  for (const char* listen :
       {"", "8080", "localhost", "1.2.3:80", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:80x",
        "example.com:80", "::1:80", "[127.0.0.1]:80", ":80"}) {
    options.listen = listen;
    const auto started = Server::start(options, parts());
    ASSERT_FALSE(started) << listen;
    EXPECT_NE(started.error().message.find("serve.listen"), std::string::npos);
    EXPECT_NE(started.error().message.find("expected ADDRESS:PORT"), std::string::npos);
  }
  options.listen = "localhost:0";
  start();
  options.listen = "127.0.0.1:" + std::to_string(server->port());
  const auto taken = Server::start(options, parts());
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().message.find("in use"), std::string::npos) << taken.error().message;
}

}  // namespace
}  // namespace millrace
