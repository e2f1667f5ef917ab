#include "ops/engine/supervisor.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "ops/config/config.h"
#include "store/free_space.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;
using State = LearningStatus::State;

constexpr std::chrono::milliseconds kStep{50};
// An engine that lived so long has proved that the failure before it is over.
constexpr std::chrono::seconds kHealthy{60};
constexpr Duration kDeliverWithin{2'000};

bool is_policy(const std::exception& error) {
  return dynamic_cast<const IdentityError*>(&error) != nullptr ||
         dynamic_cast<const LostError*>(&error) != nullptr ||
         dynamic_cast<const StoreLockedError*>(&error) != nullptr;
}

FreeSpace space_of(const Config& config) {
  return {config.store.path, static_cast<std::uint64_t>(config.store.free_space.value)};
}

}  // namespace

Supervisor::Supervisor(Options options)
    : options_(std::move(options)), log_(options_.engine.log), pause_(options_.least_pause) {}

Supervisor::~Supervisor() = default;

std::unique_ptr<Engine> Supervisor::make_engine() const {
  EngineOptions options = options_.engine;
  options.stopping = [this] {
    return requested_ || (options_.engine.stopping && options_.engine.stopping());
  };
  auto engine = Engine::make(std::move(options));
  if (!engine) throw std::runtime_error(engine.error().message);
  return std::move(engine).value();
}

void Supervisor::open() {
  auto engine = make_engine();
  engine->open();
  const std::unique_lock lock(engine_mutex_);
  engine_ = std::move(engine);
  connected_ = false;
}

bool Supervisor::has_room() const { return space_of(options_.engine.config).enough(); }

void Supervisor::start() {
  if (has_room()) {
    open();
    return;
  }
  const std::unique_ptr<Engine> engine = make_engine();
  if (engine->show() && options_.before_end) options_.before_end(*engine);
  set_state(State::kPaused, space_of(options_.engine.config).complaint());
}

void Supervisor::run(const std::atomic<bool>& stop, const Tick& tick) {
  const Stop ends = [&] { return stop.load() || requested_.load(); };
  while (!stop) {
    if (engine_ != nullptr) learn(ends, tick);
    if (stop) break;
    if (requested_) {
      serve_request();
    } else {
      wait(ends, tick);
      if (!ends()) open_again();
    }
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (request_ != nullptr && !request_->answer)
    request_->answer = RollbackRefusal{"the service is stopping"};
  answered_.notify_all();
}

// Returns with the engine healthy (it was asked to stop) or gone.
void Supervisor::learn(const Stop& stop, const Tick& tick) {
  const auto began = Clock::now();
  try {
    if (!connected_) engine_->connect();
    connected_ = ever_connected_ = true;
    set_state(State::kRunning, "");
    engine_->run(stop, tick);
    if (engine_->failure().happened()) throw LearningError(engine_->failure().message());
    return;
  } catch (const std::exception& error) {
    const bool policy = is_policy(error);
    if (policy && !ever_connected_) throw;
    if (Clock::now() - began >= kHealthy) pause_ = options_.least_pause;
    failed(error, policy);
  }
  end_engine();
}

void Supervisor::failed(const std::exception& error, bool policy) {
  if (policy) {
    log_("error", std::string("learning has stopped: ") + error.what() +
                      "; scores are served from memory. Restart the service, or roll back, once "
                      "that is mended");
    set_state(State::kStopped, error.what());
    return;
  }
  log_("error", std::string("learning failed: ") + error.what() +
                    "; scores are served from memory, the last commit is restored in " +
                    print_duration(pause_));
  set_state(State::kRestarting, error.what());
}

void Supervisor::end_engine() {
  std::unique_ptr<Engine> engine;
  {
    const std::unique_lock lock(engine_mutex_);
    if (!engine_) return;
    if (options_.before_end) options_.before_end(*engine_);
    past_failures_ += engine_->store().probe().failures;
    engine = std::move(engine_);
  }
}

// Until it is time to try again: after a pause, when there is room, or never.
void Supervisor::wait(const Stop& stop, const Tick& tick) {
  const auto until = Clock::now() + pause_;
  bool said = status().state == State::kPaused && ever_connected_;
  while (!stop()) {
    const State state = status().state;
    const bool over = state == State::kPaused || Clock::now() >= until;
    if (state != State::kStopped && over) {
      if (has_room()) break;
      const std::string complaint = space_of(options_.engine.config).complaint();
      if (!std::exchange(said, true)) log_("error", "learning pauses: " + complaint);
      set_state(State::kPaused, complaint);
    }
    std::this_thread::sleep_for(kStep);
    if (tick) tick({});
  }
  if (status().state == State::kRestarting) pause_ = std::min(2 * pause_, options_.most_pause);
}

void Supervisor::open_again() {
  try {
    open();
    const std::lock_guard lock(mutex_);
    status_ = {State::kRunning, "", status_.restarts + 1};
  } catch (const std::exception& error) {
    failed(error, is_policy(error));
  }
}

bool Supervisor::finish() {
  if (engine_ == nullptr) return status().state == State::kPaused;
  try {
    engine_->finish();
    return true;
  } catch (const std::exception& error) {
    log_("error", error.what());
    return false;
  }
}

LearningStatus Supervisor::status() const {
  LearningStatus status;
  {
    const std::lock_guard lock(mutex_);
    status = status_;
  }
  if (status.state != State::kRunning) return status;
  read([&](const Engine* engine) {
    if (engine == nullptr) return;
    const EngineStatus now = engine->status();
    status.reason = now.paused;
    if (!status.reason.empty()) {
      status.state = State::kPaused;
    } else if (!now.held_at_start.empty() && !options_.engine.serving->has_version()) {
      status.reason = "the guardrails hold the store's weights (" + now.held_at_start +
                      "), and there is no good snapshot";
    }
  });
  return status;
}

void Supervisor::set_state(State state, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  status_.state = state;
  status_.reason = reason;
}

void Supervisor::read(const std::function<void(const Engine*)>& reader) const {
  const std::shared_lock lock(engine_mutex_);
  reader(engine_.get());
}

void Supervisor::ask(const std::function<void(Engine&)>& question) const {
  const std::shared_lock lock(engine_mutex_);
  if (engine_) question(*engine_);
}

Result<SnapshotInfo> Supervisor::snapshot() {
  const Config& config = options_.engine.config;
  if (!has_room()) return Error{space_of(config).complaint()};
  const std::string reason = status().reason;
  const std::shared_lock lock(engine_mutex_);
  if (!engine_) return Error{"learning does not run: " + reason};
  if (engine_->holds()) {
    return Error{
        "the guardrails hold the weights as they are; a snapshot of them could push out a "
        "good one"};
  }
  try {
    return engine_->store().snapshot(options_.engine.clock(), config.store.snapshots.keep);
  } catch (const std::exception& error) {
    return Error{error.what()};
  }
}

// Whatever can be known to be wrong before learning is stopped for it.
Result<Ok, RollbackRefusal> Supervisor::check_snapshot(const std::string& name) const {
  const Config& config = options_.engine.config;
  const SnapshotFolder snapshots(config.store.path + "/snapshots");
  const Result<SnapshotInfo> found = snapshots.find(name);
  if (!found) return RollbackRefusal{found.error().message, true};
  const Result<Ok> whole = snapshots.verify(*found);
  if (!whole) return RollbackRefusal{whole.error().message};
  const auto copy = Store::open(snapshots.folder_of(*found).string(), Store::Access::kRead);
  const std::string identity = copy->value("service", "identity").value_or("");
  const std::string difference =
      identity.empty() ? "" : identity_difference(identity, config_identity(config));
  if (difference.empty()) return Ok{};
  return RollbackRefusal{"the snapshot " + found->name +
                         " is of another configuration: " + difference};
}

Result<RolledBack, RollbackRefusal> Supervisor::roll_back(const std::string& snapshot,
                                                          Offsets offsets) {
  auto answer = ask_for_rollback(snapshot, offsets);
  Rollbacks& counts = rollbacks_[static_cast<std::size_t>(offsets)];
  ++(answer ? counts.done : counts.refused);
  return answer;
}

Result<RolledBack, RollbackRefusal> Supervisor::ask_for_rollback(const std::string& snapshot,
                                                                 Offsets offsets) {
  try {
    const auto fine = check_snapshot(snapshot);
    if (!fine) return fine.error();
  } catch (const std::exception& error) {
    return RollbackRefusal{error.what()};
  }
  if (!has_room()) return RollbackRefusal{space_of(options_.engine.config).complaint()};
  Request request{snapshot, offsets, std::nullopt};
  std::unique_lock lock(mutex_);
  if (ended_) return RollbackRefusal{"the service is stopping"};
  if (request_ != nullptr) return RollbackRefusal{"another rollback is under way"};
  request_ = &request;
  requested_ = true;
  answered_.wait(lock, [&] { return request.answer.has_value(); });
  request_ = nullptr;
  return *request.answer;
}

void Supervisor::serve_request() {
  Request* request = nullptr;
  {
    const std::lock_guard lock(mutex_);
    request = request_;
    requested_ = false;
  }
  set_state(State::kRollingBack, "a rollback to " + request->snapshot + " is under way");
  Result<RolledBack, RollbackRefusal> answer = RollbackRefusal{""};
  try {
    if (engine_ != nullptr && connected_) engine_->finish(kDeliverWithin);
  } catch (const std::exception& error) {  // what is committed is what counts
    log_("warning", error.what());
  }
  end_engine();
  try {
    answer = millrace::roll_back(options_.engine.config.store.path, request->snapshot,
                                 request->offsets, options_.engine.clock());
    log_("notice", "rolled back to the snapshot " + answer->snapshot + ": commit " +
                       std::to_string(answer->from) + " became the state of commit " +
                       std::to_string(answer->to) + ", as commit " +
                       std::to_string(answer->commit));
  } catch (const std::exception& error) {
    log_("error", std::string("no rollback: ") + error.what());
    answer = RollbackRefusal{error.what()};
  }
  open_again();
  if (answer && engine_ != nullptr) answer->held = engine_->status().held_at_start;
  const std::lock_guard lock(mutex_);
  request->answer = std::move(answer);
  answered_.notify_all();
}

}  // namespace millrace
