#include "ops/engine/publisher.h"

#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include "learner/base/failpoint.h"

namespace millrace {

Publisher::Publisher(ServingModel& model, Failure& failure, std::function<std::uint64_t()> durable,
                     std::function<EventTime()> clock)
    : model_(model),
      failure_(failure),
      durable_(std::move(durable)),
      clock_(std::move(clock)),
      version_(model_.has_version() ? model_.pin().version() : VersionNumber{}) {
  if (model_.has_version()) probe_.published_ms = clock_().ms;
  thread_ = std::thread([this] { work(); });
}

Publisher::~Publisher() {
  queue_.close();
  thread_.join();
}

void Publisher::publish(Publication publication) {
  MILLRACE_CHECK(idle());
  idle_ = false;
  queue_.push(std::move(publication));
}

void Publisher::work() {
  while (const std::optional<Publication> publication = queue_.pop()) {
    try {
      apply(*publication);
      idle_ = true;
    } catch (const std::exception& error) {
      // Not idle any more: a side that is changed by half is never added to.
      failure_.report(std::string("publishing failed: ") + error.what());
    }
  }
}

void Publisher::apply(const Publication& publication) {
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t commit = durable_();
  version_ = commit == version_.commit ? VersionNumber{commit, version_.publication + 1}
                                       : VersionNumber{commit, 0};
  MILLRACE_FAILPOINT("publish.before_apply");
  model_.apply(publication, version_);
  MILLRACE_FAILPOINT("publish.after_apply");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  probe_.publications.fetch_add(1);
  probe_.last_seconds = took.count();
  probe_.published_ms = clock_().ms;
}

}  // namespace millrace
