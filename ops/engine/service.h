#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "ops/engine/engine.h"
#include "serve/server.h"

namespace millrace {

/// The daemon: the engine, following the stream, and the HTTP endpoint before it.
/// Life: make → start → run. Threads: these from one thread; what is read, from any.
class Service {
 public:
  /// `stopping` is asked while the start waits for the broker.
  /// Error: as Engine::make, and a score formula that does not parse.
  static Result<std::unique_ptr<Service>> make(Config config, EngineLog log,
                                               std::function<bool()> stopping = {});
  ~Service();

  /// Opens the store and the endpoint, then goes to the broker: scores are served while it waits.
  /// Throws as Engine::open; StartError where the address is taken.
  void start();
  /// Learns until `stop` is set; where learning fails, serves on until then. `tick` is called a few
  /// times a second while learning goes on. Then drains: not ready, requests in flight answered,
  /// the last commit. Returns whether all went well.
  bool run(const std::atomic<bool>& stop, const std::function<void(const Progress&)>& tick);

  int port() const;
  const Engine& engine() const;
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
