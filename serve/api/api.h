#pragma once

#include <atomic>
#include <functional>

#include "serve/admission.h"
#include "serve/http/message.h"
#include "serve/http/router.h"
#include "serve/options.h"
#include "serve/server.h"

namespace millrace {

/// Brings each request to what answers it, on the threads of its lane: scoring on
/// `options.threads`, metrics and insight on one, the join on one, administration on one, probes of
/// life at once on the caller's. Threads: `handle` from one thread; `drain` from any.
class Api {
 public:
  /// Borrows all three.
  Api(const ServeOptions& options, const ServeParts& parts, ServeProbe& probe);

  /// `request` must live until `done` was called: once, here or on another thread.
  void handle(const RouteLine& line, Request& request, const std::function<void(Answer)>& done);

  /// Not ready from now on.
  void drain() { draining_.store(true, std::memory_order_relaxed); }

  /// Ends the threads once they have answered what was handed over. Nothing may be handed over any
  /// more.
  void close();

 private:
  Answer answer_at_once(const RouteLine& line, const Request& request) const;

  const ServeParts& parts_;
  std::atomic<bool> draining_{false};
  Admission score_, insight_, join_, admin_;
};

/// The text of openapi.yaml, as it was when this was built.
std::string_view openapi_text();

}  // namespace millrace
