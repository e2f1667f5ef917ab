#include "serve/listen_address.h"

#include <arpa/inet.h>

#include <charconv>

namespace millrace {
namespace {

bool is_address(const std::string& host, int family) {
  unsigned char bytes[16];
  return ::inet_pton(family, host.c_str(), bytes) == 1;
}

}  // namespace

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const Error problem{"serve.listen: \"" + std::string(text) +
                      "\" is no address; expected ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return problem;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);

  ListenAddress address;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, address.port);
  if (digits.empty() || stop != end || error != std::errc{}) return problem;

  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  address.host = host == "localhost" && !bracketed ? "127.0.0.1" : std::string(host);
  if (!is_address(address.host, bracketed ? AF_INET6 : AF_INET)) return problem;
  return address;
}

}  // namespace millrace
