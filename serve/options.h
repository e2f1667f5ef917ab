#pragma once

#include <string>

#include "learner/base/fields.h"

namespace millrace {

/// Which of several models' scores can be asked for.
enum class ServedChoice { kAll, kChampion };

template <>
struct Choices<ServedChoice> {
  static constexpr std::array<Choice<ServedChoice>, 2> all{
      {{"all", ServedChoice::kAll}, {"champion", ServedChoice::kChampion}}};
};

/// The `serve:` section of the configuration.
struct ServeOptions {
  std::string listen = "127.0.0.1:8080";
  Duration publish_every{500};
  ServedChoice models = ServedChoice::kAll;
  int threads = 2;
  int max_connections = 1024;
  ByteSize max_body{8LL << 20};
  int max_candidates = 10'000;
  int max_queue = 512;
  int max_join_queue = 16;
  Duration header_timeout{10'000};
  Duration body_timeout{30'000};
  Duration handler_timeout{10'000};
  Duration join_timeout{2'000};
  Duration write_timeout{30'000};
  Duration idle_timeout{60'000};

  static constexpr auto fields() {
    using S = ServeOptions;
    return std::tuple{
        field("listen", &S::listen, "Address and port of the HTTP endpoint; port 0: a free one."),
        field("publish_every", &S::publish_every, "How often new weights reach the scorers.",
              Duration{10}, Duration{60'000}),
        field("models", &S::models,
              "Of several models, which can be asked for scores: all of the list, by "
              "/v1/score?model=NAME, each with tables of its own, or the champion alone."),
        field("threads", &S::threads, "Threads that answer requests.", 1, 256),
        field("max_connections", &S::max_connections, "Connections beyond it are answered 503.", 1,
              1'000'000),
        field("max_body", &S::max_body, "A larger request body is answered 413.", ByteSize{1024}),
        field("max_candidates", &S::max_candidates, "More candidates in a request are 400.", 1,
              1'000'000),
        field("max_queue", &S::max_queue,
              "Requests that wait for a thread; more are answered 503 at once.", 1, 1'000'000),
        field("max_join_queue", &S::max_join_queue,
              "Questions to /v1/join that wait for the join; more are answered 503 at once.", 1,
              100'000),
        field("header_timeout", &S::header_timeout,
              "To the first byte of a connection, and from there to the end of the headers.",
              Duration{1}),
        field("body_timeout", &S::body_timeout, "For the whole body.", Duration{1}),
        field("handler_timeout", &S::handler_timeout,
              "A request that waited longer for a thread is answered 503.", Duration{1}),
        field("join_timeout", &S::join_timeout,
              "A question to /v1/join that the join left open for longer is answered 503.",
              Duration{1}, Duration{60'000}),
        field("write_timeout", &S::write_timeout, "For the whole answer.", Duration{1}),
        field("idle_timeout", &S::idle_timeout, "Between two requests of a connection.",
              Duration{1}),
    };
  }
};

}  // namespace millrace
