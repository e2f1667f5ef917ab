#include "tests/support/faults/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "learner/base/failpoint.h"
#include "tests/support/faults/plan.h"

namespace millrace {
namespace faults {
namespace {

struct State {
  std::mutex mutex;
  std::vector<Fault> plan;
  std::map<std::string, std::uint64_t, std::less<>> passings;
};

State& state() {
  static State* const one = [] {
    auto* made = new State;
    if (const char* text = std::getenv("FAULT_POINTS")) made->plan = parse_plan(text);
    return made;
  }();
  return *one;
}

}  // namespace

void set_failpoints(const std::string& plan) {
  const std::lock_guard lock(state().mutex);
  state().plan = parse_plan(plan);
  state().passings.clear();
}

std::uint64_t passings(std::string_view place) {
  const std::lock_guard lock(state().mutex);
  const auto found = state().passings.find(place);
  return found == state().passings.end() ? 0 : found->second;
}

}  // namespace faults

void pass_failpoint(const char* name) {
  std::string what;
  std::int64_t milliseconds = 0;
  {
    faults::State& state = faults::state();
    const std::lock_guard lock(state.mutex);
    ++state.passings[name];
    if (const faults::Fault* fault = faults::pass(state.plan, name)) {
      what = fault->what;
      milliseconds = fault->milliseconds;
    }
  }
  if (what.empty()) return;
  if (what == "kill") {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
  }
  if (what == "fail") throw std::runtime_error(std::string("failpoint ") + name);
  if (what == "sleep") {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return;
  }
  std::fprintf(stderr, "failpoint %s: \"%s\" is not kill, fail or sleep(ms)\n", name, what.c_str());
  std::exit(2);
}

}  // namespace millrace
