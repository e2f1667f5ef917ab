#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace millrace {

/// One answer, taken apart.
struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;
};

/// A connection to a server on this machine that sends exactly the bytes it is given, right or
/// wrong. Waits at most ten seconds for an answer.
class HttpClient {
 public:
  explicit HttpClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(socket_);
      throw std::runtime_error("cannot connect to port " + std::to_string(port));
    }
  }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient() { ::close(socket_); }

  /// False where the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// The next answer; nothing where the server closed without one. `has_body`: false after HEAD.
  std::optional<HttpReply> receive(bool has_body = true) {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return std::nullopt;
    }
    HttpReply reply;
    reply.status = std::atoi(buffer_.c_str() + sizeof "HTTP/1.1");
    std::string_view head = std::string_view(buffer_).substr(0, end + 2);
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.empty()) {
      const std::string_view line = head.substr(0, head.find("\r\n"));
      head.remove_prefix(line.size() + 2);
      const std::size_t colon = line.find(':');
      std::string name(line.substr(0, colon));
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      reply.headers[name] = line.substr(colon + 2);
    }
    buffer_.erase(0, end + 4);
    if (!has_body || reply.status == 100) return reply;
    const std::size_t length = std::stoul(reply.headers.at("content-length"));
    while (buffer_.size() < length) {
      if (!read_more()) return std::nullopt;
    }
    reply.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return reply;
  }

  /// Whether the server has closed (waits for it) and sent nothing more.
  bool is_closed() { return !read_more() && buffer_.empty(); }

  void shut_down_sending() { ::shutdown(socket_, SHUT_WR); }

 private:
  bool read_more() {
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }

  const int socket_;
  std::string buffer_;
};

/// A request with a Host and, where there is a body, its length.
inline std::string http_request(std::string_view method, std::string_view target,
                                std::string_view body = {}, std::string_view more_headers = {}) {
  std::string text;
  text.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: localhost\r\n");
  text.append(more_headers);
  if (!body.empty() || method == "POST") {
    text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  }
  text.append("\r\n").append(body);
  return text;
}

/// One request on a connection of its own. Throws where there is no answer.
inline HttpReply fetch(int port, const std::string& request, bool has_body = true) {
  HttpClient client(port);
  client.send(request);
  auto reply = client.receive(has_body);
  if (!reply) throw std::runtime_error("no answer to " + request.substr(0, 100));
  return *reply;
}

}  // namespace millrace
