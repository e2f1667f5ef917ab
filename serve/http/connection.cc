#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <exception>
#include <utility>

#include "serve/http/connection_inner.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// Errors come back as values: they are ordinary here.
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

constexpr std::size_t kReadBytes = std::size_t{16} * 1024;
constexpr std::size_t kMostBodyOfOthers = std::size_t{64} * 1024;  // of routes that need none
constexpr Duration kLinger{1000};

bool may_keep_alive(const Head& head) {
  if (head.minor_version == 0) return head.lists("Connection", "keep-alive");
  return !head.lists("Connection", "close");
}

std::string what_of(const std::exception_ptr& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "an unknown exception";
  }
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, ConnectionHub& hub)
    : hub_(hub),
      socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      answered_(socket_.get_executor()) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
}

Connection::~Connection() {
  if (hub_.open.erase(this) == 0) return;
  hub_.probe.connections.store(hub_.open.size(), std::memory_order_relaxed);
  if (hub_.open.empty() && hub_.on_last_closed) hub_.on_last_closed();
}

void Connection::start() {
  hub_.open.insert(this);
  hub_.probe.connections.store(hub_.open.size(), std::memory_order_relaxed);
  asio::co_spawn(
      socket_.get_executor(), [self = shared_from_this()] { return self->run(); },
      [&hub = hub_](const std::exception_ptr& problem) {
        if (problem && hub.log) hub.log("error", "a connection ended by " + what_of(problem));
      });
}

void Connection::refuse() {
  ++hub_.refusing;
  asio::co_spawn(
      socket_.get_executor(), [self = shared_from_this()] { return self->run_refusal(); },
      [&hub = hub_](const std::exception_ptr&) { --hub.refusing; });
}

void Connection::finish() {
  if (idle_) abort();
}

void Connection::abort() {
  error_code ignored;
  socket_.close(ignored);
  answered_.cancel();
}

Connection::Awaitable<> Connection::run() {
  bool more = true;
  for (bool first = true; more; first = false) {
    more = co_await wait_for_request(first);
    if (!more) break;
    more = co_await serve_one();
  }
  co_await close_gently();
}

Connection::Awaitable<> Connection::run_refusal() {
  begin_request();
  refuse_with(503, "too many connections; try again later");
  keep_alive_ = false;
  co_await write_answer();
  co_await close_gently();
}

// Whether the first byte of a request is there.
Connection::Awaitable<bool> Connection::wait_for_request(bool first) {
  while (true) {
    // Empty lines before a request are passed over (RFC 9112, 2.2).
    while (buffered().starts_with("\r\n")) buffer_.consume(2);
    if (buffer_.size() > 0 && buffered() != "\r") co_return true;
    if (hub_.stopping) co_return false;
    idle_ = true;
    arm(first ? hub_.options.header_timeout : hub_.options.idle_timeout);
    const bool came = co_await read_some();
    disarm();
    idle_ = false;
    if (!came) co_return false;
  }
}

Connection::Awaitable<bool> Connection::serve_one() {
  begin_request();
  Step step = co_await read_head_bytes();
  if (step == Step::kDone) {
    Head head;
    const HeadVerdict verdict =
        ::millrace::read_head(buffered().substr(0, scanner_.head_bytes()), head);
    step = verdict.status == 0 ? judge_head(head) : refuse_with(verdict.status, verdict.message);
    if (verdict.status != 0) has_body_ = true;  // or whatever follows
  }
  if (step == Step::kDone) {
    step = co_await read_body();
  } else if (step == Step::kRefused && !has_body_) {
    buffer_.consume(scanner_.head_bytes());
  }
  if (step == Step::kGone) co_return false;
  if (step == Step::kRefused) {
    keep_alive_ = keep_alive_ && !has_body_;
  } else {
    co_await work();
    if (!answer_) co_return false;  // Aborted.
  }
  const bool written = co_await write_answer();
  co_return written ? keep_alive_ : false;
}

void Connection::begin_request() {
  scanner_ = HeadScanner{};
  request_ = Request{};
  request_.id = hub_.id_prefix + std::to_string(++hub_.next_id);
  answer_.reset();
  line_ = nullptr;
  is_head_ = keep_alive_ = wants_continue_ = false;
  has_body_ = true;  // until the head says otherwise
  minor_version_ = 1;
}

Connection::Awaitable<Connection::Step> Connection::read_head_bytes() {
  arm(hub_.options.header_timeout);
  HeadScanner::State state = scanner_.scan(buffered());
  while (state == HeadScanner::State::kMore) {
    const bool came = co_await read_some();
    if (!came) {
      if (timed_out_) co_return refuse_with(408, "the head of the request took too long");
      co_return Step::kGone;
    }
    state = scanner_.scan(buffered());
  }
  disarm();
  began_ = std::chrono::steady_clock::now();
  if (state == HeadScanner::State::kComplete) co_return Step::kDone;
  co_return refuse_with(scanner_.status(), scanner_.message());
}

// What the head alone decides, so that a body that nobody wants is never read.
Connection::Step Connection::judge_head(const Head& head) {
  minor_version_ = head.minor_version;
  keep_alive_ = may_keep_alive(head);
  has_body_ = has_body(head);
  wants_continue_ = head.minor_version == 1 && !head.get("Expect").empty();
  is_head_ = head.method == "HEAD";
  request_.method = is_head_ ? "GET" : head.method;
  request_.path = path_of(head.target);
  request_.query = query_of(head.target);
  request_.content_type = head.get("Content-Type");
  if (const auto id = head.get("X-Request-Id"); is_plain_request_id(id)) request_.id = id;

  RouteMatch match = find_route(head.method, request_.path);
  line_ = match.line;
  if (line_ == nullptr) {
    if (match.allow.empty()) return refuse_with(404, "there is nothing at this path");
    refuse_with(405, "this path answers " + match.allow + " only");
    answer_->allow = std::move(match.allow);
    return Step::kRefused;
  }
  const bool scores = line_->lane == Lane::kScore;
  const std::size_t most =
      scores ? static_cast<std::size_t>(hub_.options.max_body.value) : kMostBodyOfOthers;
  if (content_length(head) > most) {
    return refuse_with(413, "the body is larger than " + std::to_string(most) + " bytes");
  }
  if (scores && !is_read_as_json(request_.content_type)) {
    return refuse_with(415, "the Content-Type names another format; expected application/json");
  }
  return Step::kDone;
}

Connection::Awaitable<Connection::Step> Connection::read_body() {
  const std::size_t most = line_->lane == Lane::kScore
                               ? static_cast<std::size_t>(hub_.options.max_body.value)
                               : kMostBodyOfOthers;
  http::request_parser<http::string_body> parser;
  parser.header_limit(2 * kMostHeadBytes);
  parser.body_limit(most);
  error_code problem;
  const std::size_t taken = parser.put(buffer_.data(), problem);
  if (problem) co_return refuse_with(400, "the head of the request is malformed");
  buffer_.consume(taken);
  arm(hub_.options.body_timeout);
  if (wants_continue_ && !parser.is_done() && buffer_.size() == 0) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto [failed, sent] = co_await asio::async_write(
        socket_, asio::buffer(kContinue.data(), kContinue.size()), kAwait);
    if (failed) co_return Step::kGone;
  }
  if (!parser.is_done()) {
    const auto [failed, read] = co_await http::async_read(socket_, buffer_, parser, kAwait);
    problem = failed;
  }
  disarm();
  if (!problem) {
    request_.body = std::move(parser.get().body());
    co_return Step::kDone;
  }
  if (timed_out_) co_return refuse_with(408, "the body of the request took too long");
  if (problem == http::error::body_limit) {
    co_return refuse_with(413, "the body is larger than " + std::to_string(most) + " bytes");
  }
  const bool closed = problem == http::error::partial_message ||
                      problem == http::error::end_of_stream ||
                      problem.category() != make_error_code(http::error::bad_chunk).category();
  co_return closed ? Step::kGone : refuse_with(400, "the body of the request is malformed");
}

// Hands the request over and sleeps until the answer is there. The answer is always posted, so it
// cannot come before the sleep begins.
Connection::Awaitable<> Connection::work() {
  answered_.expires_at(std::chrono::steady_clock::time_point::max());
  // The hold on this object moves on with the answer: the thread that answered must not be the last
  // to let go, because a connection ends on its own thread.
  hub_.handle(*line_, request_, [self = shared_from_this()](Answer answer) mutable {
    const auto executor = self->socket_.get_executor();
    asio::post(executor, [self = std::move(self), answer = std::move(answer)]() mutable {
      self->answer_ = std::move(answer);
      self->answered_.cancel();
    });
  });
  co_await answered_.async_wait(kAwait);
}

Connection::Awaitable<bool> Connection::write_answer() {
  if (hub_.stopping) keep_alive_ = false;
  http::response<http::string_body> message(static_cast<http::status>(answer_->status),
                                            10 + static_cast<unsigned>(minor_version_));
  message.reason(reason_phrase(answer_->status));
  message.set(http::field::server, "millrace");
  message.set(http::field::content_type, answer_->content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Request-Id", request_.id);
  if (!answer_->allow.empty()) message.set(http::field::allow, answer_->allow);
  if (answer_->retry_after_seconds > 0) {
    message.set(http::field::retry_after, std::to_string(answer_->retry_after_seconds));
  }
  message.keep_alive(keep_alive_);
  message.content_length(answer_->body.size());
  if (!is_head_) message.body() = std::move(answer_->body);

  const Route route = line_ == nullptr ? Route::kOther : line_->route;
  const auto status_class = static_cast<std::size_t>(answer_->status / 100);
  hub_.probe.answers[static_cast<std::size_t>(route)][status_class].fetch_add(
      1, std::memory_order_relaxed);

  arm(hub_.options.write_timeout);
  const auto [failed, sent] = co_await http::async_write(socket_, message, kAwait);
  disarm();
  if (line_ != nullptr && line_->lane == Lane::kScore) {
    const auto took = std::chrono::steady_clock::now() - began_;
    hub_.probe.total.observe(std::chrono::duration<double>(took).count());
  }
  co_return !failed;
}

// Says that nothing more comes, then waits a moment for the client to have read it.
Connection::Awaitable<> Connection::close_gently() {
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  if (!ignored) {
    arm(kLinger);
    do {
      buffer_.clear();
    } while (co_await read_some());
    disarm();
  }
  socket_.close(ignored);
}

Connection::Awaitable<bool> Connection::read_some() {
  const auto [failed, count] =
      co_await socket_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
  if (failed) co_return false;
  buffer_.commit(count);
  co_return true;
}

Connection::Step Connection::refuse_with(int status, std::string_view message) {
  answer_ = error_answer(status, message, request_.id);
  return Step::kRefused;
}

std::string_view Connection::buffered() const {
  const auto bytes = buffer_.cdata();
  return {static_cast<const char*>(bytes.data()), bytes.size()};
}

// When the time is over, whatever the connection waits for ends with an error, and `timed_out_`
// says why.
void Connection::arm(Duration deadline) {
  timed_out_ = false;
  const std::uint64_t number = ++deadline_number_;
  deadline_.expires_after(deadline);
  deadline_.async_wait([this, self = weak_from_this(), number](const error_code& cancelled) {
    const auto alive = self.lock();
    if (cancelled || !alive || number != deadline_number_) return;
    timed_out_ = true;
    error_code ignored;
    socket_.cancel(ignored);
  });
}

void Connection::disarm() {
  ++deadline_number_;
  deadline_.cancel();
}

}  // namespace millrace
