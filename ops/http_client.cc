#include "ops/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "serve/listen_address.h"

namespace millrace {
namespace {

/// A socket that is closed with its owner.
class Socket {
 public:
  explicit Socket(int family) : handle_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (handle_ >= 0) close(handle_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return handle_; }

 private:
  int handle_;
};

/// The address that one reaches a listener at; false where the host is no numeric address.
bool resolve(const ListenAddress& listen, sockaddr_storage& address, socklen_t& size) {
  std::string host = listen.host == "localhost" ? "127.0.0.1" : listen.host;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  address = {};
  auto* four = reinterpret_cast<sockaddr_in*>(&address);
  if (inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(listen.port);
    size = sizeof(sockaddr_in);
    return true;
  }
  auto* six = reinterpret_cast<sockaddr_in6*>(&address);
  if (inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) != 1) return false;
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(listen.port);
  size = sizeof(sockaddr_in6);
  return true;
}

bool send_all(int handle, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(handle, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool receive_all(int handle, std::string& text) {
  constexpr std::size_t kMost = 16 << 20;
  char piece[4096];
  while (text.size() < kMost) {
    const ssize_t came = recv(handle, piece, sizeof piece, 0);
    if (came < 0) return false;
    if (came == 0) return true;
    text.append(piece, static_cast<std::size_t>(came));
  }
  return false;
}

/// Takes "HTTP/1.1 200 OK" and the head off. The request asked for the connection's end, so that
/// the body is what is left.
bool parse_answer(const std::string& text, HttpAnswer& answer) {
  const std::size_t body = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || text.size() < 12 || body == std::string::npos) return false;
  const auto [end, error] = std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  answer.body = text.substr(body + 4);
  return error == std::errc{} && end == text.data() + 12;
}

}  // namespace

Result<HttpAnswer> post_to_daemon(const std::string& listen, const std::string& path,
                                  const std::string& body, Duration timeout) {
  const auto parsed = parse_listen_address(listen);
  if (!parsed) return parsed.error();
  const auto nobody = [&](const std::string& why) {
    return Error{"no daemon answers at " + listen + " (" + why +
                 "); is `millrace run` there, with this serve.listen?"};
  };
  sockaddr_storage address{};
  socklen_t size = 0;
  if (parsed->port == 0) return nobody("port 0 is a free one each time");
  if (!resolve(*parsed, address, size)) return nobody("no numeric address");
  const Socket socket(address.ss_family);
  const timeval limit{timeout.count() / 1000, timeout.count() % 1000 * 1000};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return nobody(std::strerror(errno));
  }
  const std::string request =
      "POST " + path + " HTTP/1.1\r\nHost: " + listen +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\nConnection: close\r\n\r\n" + body;
  std::string text;
  if (!send_all(socket.get(), request) || !receive_all(socket.get(), text)) {
    return nobody(std::strerror(errno));
  }
  HttpAnswer answer;
  if (!parse_answer(text, answer)) return nobody("what came is no HTTP answer");
  return answer;
}

}  // namespace millrace
