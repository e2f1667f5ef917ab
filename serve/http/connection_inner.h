#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "serve/http/head.h"
#include "serve/http/message.h"
#include "serve/http/router.h"
#include "serve/options.h"
#include "serve/server.h"

namespace millrace {

class Connection;

/// What all connections of a server share. Only the thread that runs `io` touches it.
struct ConnectionHub {
  /// Calls `done` once, on any thread, at once or later. `request` lives until then.
  using Handle =
      std::function<void(const RouteLine&, Request& request, std::function<void(Answer)> done)>;

  const ServeOptions& options;
  ServeProbe& probe;
  Handle handle;
  std::function<void(std::string_view level, const std::string& message)> log;
  std::function<void()> on_last_closed;

  std::string id_prefix;  ///< Of request ids; differs from start to start.
  std::uint64_t next_id = 0;
  bool stopping = false;
  int refusing = 0;  ///< Connections beyond the limit that are being told so.
  std::unordered_set<Connection*> open{};
};

/// One client's connection: one request after another, each phase under its own deadline. What the
/// client sent ahead (pipelining) stays in the buffer and is answered in its turn.
///
/// Reads the head itself (http/head.h judges it) and lets Beast parse the body. A request is
/// refused from its head alone where that is possible; then the rest of it is read and dropped for
/// a moment, since closing over unread bytes would make the kernel reset the connection and the
/// client would never see the answer. Threads: everything on the thread that runs the socket's
/// executor.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  /// Borrows `hub`, which must outlive all connections.
  Connection(boost::asio::ip::tcp::socket socket, ConnectionHub& hub);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// Serves requests until either side has had enough.
  void start();
  /// Answers 503, whatever is asked, and closes.
  void refuse();

  /// Closes an idle connection; one at work closes after its answer.
  void finish();
  /// Closes in the middle.
  void abort();

 private:
  template <class T = void>
  using Awaitable = boost::asio::awaitable<T>;
  /// How a step of a request ended.
  enum class Step {
    kDone,
    kRefused,  ///< `answer_` says why.
    kGone,     ///< The client closed, or was silent for too long between two requests.
  };

  Awaitable<> run();
  Awaitable<> run_refusal();
  Awaitable<bool> wait_for_request(bool first);
  /// Whether the connection may serve another one.
  Awaitable<bool> serve_one();
  Awaitable<Step> read_head_bytes();
  Step judge_head(const Head& head);
  Awaitable<Step> read_body();
  Awaitable<> work();
  Awaitable<bool> write_answer();
  Awaitable<> close_gently();
  Awaitable<bool> read_some();

  Step refuse_with(int status, std::string_view message);
  void begin_request();
  std::string_view buffered() const;
  void arm(Duration deadline);
  void disarm();

  ConnectionHub& hub_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer deadline_, answered_;
  std::uint64_t deadline_number_ = 0;
  bool timed_out_ = false;
  bool idle_ = false;
  boost::beast::flat_buffer buffer_;

  // Of the request at hand.
  HeadScanner scanner_;
  Request request_;
  std::optional<Answer> answer_;
  const RouteLine* line_ = nullptr;
  bool is_head_ = false;
  bool keep_alive_ = false;
  bool has_body_ = false;
  bool wants_continue_ = false;
  int minor_version_ = 1;
  std::chrono::steady_clock::time_point began_{};
};

}  // namespace millrace
