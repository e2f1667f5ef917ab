#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ingest/encode/features.h"
#include "ingest/event/user.h"
#include "learner/base/time.h"

namespace millrace {

/// Something that was shown, with what the model reads of it.
struct Impression {
  std::string id;
  EventTime time;
  EncodedFeatures features;
  double sampling_rate = 1;
  std::uint64_t user = kNoUser;  ///< user_key.
};

/// Something that followed an impression: a click, a conversion, a dwell time.
struct Outcome {
  std::string impression_id;
  int type = 0;  ///< Index into EventTypes::outcomes.
  EventTime time;
  std::optional<std::string> event_id;
  std::optional<double> value;
};

/// A row that was joined elsewhere.
struct Sample {
  std::string id;  ///< Empty if it has none.
  EventTime time;
  EncodedFeatures features;
  double sampling_rate = 1;
  std::vector<double> labels;    ///< [T]; NaN: missing.
  std::uint64_t user = kNoUser;  ///< user_key.
};

using Event = std::variant<Impression, Outcome, Sample>;

inline EventTime event_time(const Event& event) {
  return std::visit([](const auto& e) { return e.time; }, event);
}

/// One kind of outcome that the configuration names under `events:`.
struct OutcomeType {
  std::string name;
  std::string topic;
  Duration window{};
  /// A task that is neither binary nor by `count` uses it: an outcome without a value is refused.
  bool needs_value = false;
};

/// The `events:` section: which types there are and which topic carries which.
struct EventTypes {
  std::string impression_topic = "impression";
  bool has_impressions = false;  ///< Configured; files may hold samples without any configuration.
  std::string sample_topic;      ///< Empty: samples come from files only.
  std::vector<OutcomeType> outcomes;
};

}  // namespace millrace
