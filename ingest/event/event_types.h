#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"

namespace millrace {

/// What a record says that it is.
struct RecordType {
  enum class Kind { kUnsettled, kImpression, kSample, kOutcome, kUnknown };
  Kind kind = Kind::kUnsettled;
  int outcome = -1;  ///< Index into EventTypes::outcomes.

  friend bool operator==(RecordType, RecordType) = default;
};

/// The names of event types and the types that each topic carries. Immutable; any thread.
class TypeTable {
 public:
  /// The types of one topic.
  struct Topic {
    std::string name;
    std::vector<RecordType> types;

    /// The type of a record that names none: unsettled where several types share the topic.
    RecordType only_type() const { return types.size() == 1 ? types.front() : RecordType{}; }
    bool carries(RecordType type) const;
  };

  /// Borrows `types`.
  explicit TypeTable(const EventTypes& types);

  /// The type of this name: `impression` where it is configured, `sample` always, an outcome's
  /// name; else unknown.
  RecordType named(std::string_view name) const;

  /// The topic of this name; one without types where the configuration names none.
  const Topic& topic(std::string_view name) const;

 private:
  void add(const std::string& topic, RecordType type);

  const EventTypes& types_;
  std::vector<Topic> topics_;
  Topic unknown_;
};

}  // namespace millrace
