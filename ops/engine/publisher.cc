#include "ops/engine/publisher.h"

#include <chrono>
#include <utility>

namespace millrace {

Publisher::Publisher(ServingModel& model, std::function<std::uint64_t()> durable,
                     std::function<EventTime()> clock)
    : model_(model), durable_(std::move(durable)), clock_(std::move(clock)) {
  probe_.published_ms = clock_().ms;
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
    apply(*publication);
    idle_ = true;
  }
}

void Publisher::apply(const Publication& publication) {
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t commit = durable_();
  version_ = commit == version_.commit ? VersionNumber{commit, version_.publication + 1}
                                       : VersionNumber{commit, 0};
  model_.apply(publication, version_);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  probe_.publications.fetch_add(1);
  probe_.commit = version_.commit;
  probe_.publication = version_.publication;
  probe_.last_seconds = took.count();
  probe_.published_ms = clock_().ms;
  probe_.seen_ms = publication.seen.ms;
}

}  // namespace millrace
