#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "ops/engine/engine.h"
#include "ops/engine/supervisor.h"
#include "serve/server.h"

namespace millrace {

/// The daemon: the HTTP endpoint and what it serves from, and the supervisor that keeps learning
/// alive behind it. Life: make → start → run. Threads: these from one thread; what is read, from
/// any.
class Service {
 public:
  /// `stopping` is asked while the start waits for the broker.
  /// Error: as Engine::make, and a score formula that does not parse.
  static Result<std::unique_ptr<Service>> make(Config config, EngineLog log,
                                               std::function<bool()> stopping = {});
  ~Service();

  /// Opens the store and the endpoint. Throws as Supervisor::start; StartError where the address is
  /// taken.
  void start();
  /// Goes to the broker and learns until `stop` is set; scores are served all the time, whatever
  /// fails. `tick` is called a few times a second. Then drains: not ready, requests in flight
  /// answered, the last commit. Returns whether all went well. Throws as Supervisor::run.
  bool run(const std::atomic<bool>& stop, const std::function<void(const Progress&)>& tick);

  int port() const;
  const ServingModel& serving() const;
  /// As Supervisor::read.
  void read(const std::function<void(const Engine*)>& reader) const;
  const ServeProbe& serve_probe() const;

 private:
  struct Parts;
  explicit Service(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// The endpoint cannot be opened; says which address and why.
struct StartError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace millrace
