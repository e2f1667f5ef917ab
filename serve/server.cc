#include "serve/server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "serve/api/api.h"
#include "serve/http/connection_inner.h"
#include "serve/listen_address.h"

namespace millrace {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

constexpr int kMostRefusing = 64;
constexpr std::chrono::milliseconds kPauseAfterFailedAccept{100};

// Eight digits that differ between two starts, so that ids in logs do not repeat.
std::string make_id_prefix(const void* address) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  const auto bits =
      mix_bits(static_cast<std::uint64_t>(now) ^ reinterpret_cast<std::uintptr_t>(address));
  char text[16];
  std::snprintf(text, sizeof text, "%08x-", static_cast<unsigned>(bits >> 32));
  return text;
}

}  // namespace

struct Server::Parts {
  Parts(const ServeOptions& options, ServeParts given)
      : options(options), parts(std::move(given)), api(this->options, parts, probe) {}

  asio::awaitable<void> accept_all();
  void admit(tcp::socket socket);
  void stop(Duration grace);

  const ServeOptions options;
  const ServeParts parts;
  ServeProbe probe;
  Api api;
  ConnectionHub hub{
      options,
      probe,
      [this](const RouteLine& line, Request& request, const std::function<void(Answer)>& done) {
        api.handle(line, request, done);
      },
      parts.log,
      [this] { note_all_closed(); },
      make_id_prefix(this)};

  void note_all_closed() {
    if (!hub.stopping) return;
    const std::lock_guard lock(mutex);
    all_closed = true;
    closed.notify_all();
  }

  std::mutex mutex;
  std::condition_variable closed;
  bool all_closed = false;  // under mutex
  int port = 0;

  // Declared last: what it still holds at the end refers to all of the above.
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  tcp::acceptor acceptor{io};
  std::thread thread;
};

asio::awaitable<void> Server::Parts::accept_all() {
  asio::steady_timer pause(io);
  while (acceptor.is_open()) {
    auto [failed, socket] = co_await acceptor.async_accept(kAwait);
    if (!failed) {
      admit(std::move(socket));
      continue;
    }
    if (!acceptor.is_open()) co_return;
    // Most likely too many open files; connections that end make room.
    if (parts.log) parts.log("warning", "a connection was not accepted: " + failed.message());
    pause.expires_after(kPauseAfterFailedAccept);
    co_await pause.async_wait(kAwait);
  }
}

void Server::Parts::admit(tcp::socket socket) {
  const bool room = hub.open.size() < static_cast<std::size_t>(options.max_connections);
  if (!room) probe.connections_refused.fetch_add(1, std::memory_order_relaxed);
  if (!room && hub.refusing >= kMostRefusing) return;  // Closed without a word.
  const auto connection = std::make_shared<Connection>(std::move(socket), hub);
  if (room) {
    connection->start();
  } else {
    connection->refuse();
  }
}

void Server::Parts::stop(Duration grace) {
  if (!thread.joinable()) return;
  asio::post(io, [this] {
    hub.stopping = true;
    error_code ignored;
    acceptor.close(ignored);
    // Copied, since finishing may take a connection out of the set.
    const std::vector<Connection*> open(hub.open.begin(), hub.open.end());
    for (Connection* connection : open) connection->finish();
    if (hub.open.empty()) note_all_closed();
  });
  {
    std::unique_lock lock(mutex);
    closed.wait_for(lock, grace, [this] { return all_closed; });
  }
  asio::post(io, [this] {
    const std::vector<Connection*> open(hub.open.begin(), hub.open.end());
    for (Connection* connection : open) connection->abort();
    work.reset();
    io.stop();
  });
  thread.join();
  api.close();  // While `io` is there to take the last answers.
}

Result<std::unique_ptr<Server>> Server::start(const ServeOptions& options, ServeParts given) {
  MILLRACE_CHECK(given.schema != nullptr && given.serving != nullptr && given.formula != nullptr);
  MILLRACE_CHECK(given.clock && given.metrics && given.tasks && given.snapshot);
  const auto address = parse_listen_address(options.listen);
  if (!address) return address.error();

  error_code failed;
  const tcp::endpoint endpoint(asio::ip::make_address(address->host, failed), address->port);
  if (failed) return not_an_address(options.listen);

  auto parts = std::make_unique<Parts>(options, std::move(given));
  tcp::acceptor& acceptor = parts->acceptor;
  acceptor.open(endpoint.protocol(), failed);
  if (!failed) acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor.bind(endpoint, failed);
  if (!failed) acceptor.listen(asio::socket_base::max_listen_connections, failed);
  if (failed) {
    return Error{"serve.listen: " + options.listen + " cannot be listened on: " + failed.message()};
  }
  parts->port = acceptor.local_endpoint().port();
  asio::co_spawn(parts->io, parts->accept_all(), asio::detached);
  parts->thread = std::thread([&io = parts->io] { io.run(); });
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { parts_->stop(Duration{0}); }

int Server::port() const { return parts_->port; }

void Server::drain() { parts_->api.drain(); }

void Server::stop(Duration grace) {
  parts_->api.drain();
  parts_->stop(grace);
}

const ServeProbe& Server::probe() const { return parts_->probe; }

}  // namespace millrace
