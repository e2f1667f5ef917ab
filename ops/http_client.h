#pragma once

#include <string>

#include "learner/base/result.h"
#include "learner/base/time.h"

namespace millrace {

/// A daemon's answer.
struct HttpAnswer {
  int status = 0;
  std::string body;
};

/// Sends one POST with a JSON body to `listen` (serve.listen; 0.0.0.0 and [::] are reached at the
/// loopback) and waits for the whole answer, at most `timeout` for each step.
/// Error: nobody answers there, or what came is no answer; says what to do.
Result<HttpAnswer> post_to_daemon(const std::string& listen, const std::string& path,
                                  const std::string& body, Duration timeout);

}  // namespace millrace
