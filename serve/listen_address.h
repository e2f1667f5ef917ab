#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "learner/base/result.h"

namespace millrace {

/// Where to listen, taken apart.
struct ListenAddress {
  std::string host;  ///< Without brackets; whoever opens it finds whether it is a numeric address.
  std::uint16_t port = 0;
};

/// "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (127.0.0.1), "0.0.0.0:0" (a free port).
/// Error: names the key, the text and what was expected.
Result<ListenAddress> parse_listen_address(std::string_view text);

/// That error.
Error not_an_address(std::string_view text);

}  // namespace millrace
