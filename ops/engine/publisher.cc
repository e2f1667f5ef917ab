#include "ops/engine/publisher.h"

#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include "learner/base/failpoint.h"

namespace millrace {

Publisher::Publisher(ServingModel& model, ServedModels* others, VersionNumber first,
                     Failure& failure, std::function<std::uint64_t()> durable,
                     std::function<EventTime()> clock)
    : model_(model),
      others_(others),
      failure_(failure),
      durable_(std::move(durable)),
      clock_(std::move(clock)),
      version_(first) {
  if (model_.has_version()) probe_.published_ms = clock_().ms;
  thread_ = std::thread([this] { work(); });
}

Publisher::~Publisher() {
  queue_.close();
  thread_.join();
}

void Publisher::publish(Publication champion, std::vector<NamedPublication> others) {
  MILLRACE_CHECK(idle() && (others.empty() || others_ != nullptr));
  idle_ = false;
  queue_.push({std::move(champion), std::move(others)});
}

void Publisher::work() {
  while (const std::optional<Publications> publications = queue_.pop()) {
    try {
      apply(*publications);
      idle_ = true;
    } catch (const std::exception& error) {
      // Not idle any more: a side that is changed by half is never added to.
      failure_.report(std::string("publishing failed: ") + error.what());
    }
  }
}

void Publisher::apply(const Publications& publications) {
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t commit = durable_();
  version_ = commit == version_.commit ? VersionNumber{commit, version_.publication + 1}
                                       : VersionNumber{commit, 0};
  MILLRACE_FAILPOINT("publish.before_apply");
  for (const NamedPublication& other : publications.others) others_->apply(other, version_);
  apply_champion(publications.champion, version_, model_, others_);
  MILLRACE_FAILPOINT("publish.after_apply");
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  probe_.publications.fetch_add(1);
  probe_.last_seconds = took.count();
  probe_.published_ms = clock_().ms;
}

}  // namespace millrace
