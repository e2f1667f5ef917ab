#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "learner/base/result.h"

namespace millrace {

/// Where to listen, taken apart.
struct ListenAddress {
  std::string host;  ///< A numeric address, without brackets.
  std::uint16_t port = 0;
};

/// "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (127.0.0.1), "0.0.0.0:0" (a free port).
/// Error: names the key, the text and what was expected.
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace millrace
