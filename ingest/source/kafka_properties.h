#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

/// Why `kafka.properties` may not set this librdkafka property: Millrace sets it itself, because
/// its promises rest on the value, or it is not in this version. Nothing where it passes through.
///
/// Ours: bootstrap.servers and metadata.broker.list (`kafka.brokers`), enable.auto.commit and
/// auto.commit.enable, enable.auto.offset.store, isolation.level, auto.offset.reset,
/// enable.partition.eof, check.crcs, queued.max.messages.kbytes (`kafka.prefetch`),
/// allow.auto.create.topics, log.queue. Not built: OIDC (sasl.oauthbearer.method and what belongs
/// to it).
std::optional<std::string> why_refused(std::string_view property, std::string_view value);

}  // namespace millrace
