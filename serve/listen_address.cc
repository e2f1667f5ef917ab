#include "serve/listen_address.h"

#include <charconv>

namespace millrace {

Error not_an_address(std::string_view text) {
  return {"serve.listen: \"" + std::string(text) +
          "\" is no address; expected ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080"};
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const Error problem = not_an_address(text);
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
  // A colon belongs to addresses of version 6, and those into brackets.
  if (host.empty() || bracketed != (host.find(':') != std::string_view::npos)) return problem;
  return address;
}

}  // namespace millrace
