#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/encode/json_features_inner.h"
#include "ingest/encode/name_index.h"
#include "ingest/event/event.h"
#include "ingest/event/event_types.h"
#include "ingest/event/verdict.h"
#include "learner/data/schema.h"

namespace millrace {

/// What one pass over a record found. Of several occurrences of a field the last one counts.
struct Draft {
  RecordType type;                     ///< By which the record's fields were judged.
  std::optional<RecordType> declared;  ///< What the field `type` says.
  std::string type_name;               ///< As it was written, for messages.
  bool type_judged = false;            ///< There was a `type`, though perhaps of a wrong type.

  bool has_id = false, has_time = false, has_labels = false, has_value = false;
  std::string id;
  EventTime time;
  std::optional<std::string> event_id;
  std::optional<double> value;
  double sampling_rate = 1;
  std::uint64_t user = kNoUser;
  std::uint64_t slice = 0;  ///< slice_key; 0: none.
  std::vector<double> labels;
  std::uint64_t unknown_features = 0, unknown_labels = 0;
  Verdict verdict;
};

/// Reads the fields of one record into a draft, the features into a builder. Threads: one at a
/// time.
class RecordReader {
 public:
  /// Borrows all but the name indices.
  RecordReader(const Schema& schema, const TypeTable& types);

  /// One pass over the object, whose bytes end at `end`. `type` says by which type to judge; while
  /// it is unsettled, the record's own `type` settles it, and fields that came before that are left
  /// unread. Returns whether all that was read is JSON.
  bool read(simdjson::ondemand::object& object, const char* end, RecordType type);

  /// Whether the record declares another type than that by which its fields were read: parse it
  /// anew and read it by the declared one.
  bool must_read_again() const { return again_; }
  bool read_again(simdjson::ondemand::object& object, const char* end);

  Draft& draft() { return draft_; }
  FeatureBuilder& features() { return features_; }

 private:
  using Value = simdjson::ondemand::value;
  enum class Field {
    kType,
    kImpressionId,
    kTime,
    kFeatures,
    kLabels,
    kValue,
    kEventId,
    kSamplingRate,
    kUser,
    kPropensity,
    kPosition,
    kSlice,
    kOther,
  };
  struct Range {
    double least = -std::numeric_limits<double>::infinity();
    double most = std::numeric_limits<double>::infinity();
  };
  static Field field_named(std::string_view key);
  static bool belongs_to(Field field, RecordType::Kind kind);

  bool read_fields(simdjson::ondemand::object& object, const char* end);
  bool read_field(Field field, Value& value);
  bool read_head(Field field, Value& value);
  bool read_body(Field field, Value& value);
  bool read_type(Value& value);
  bool read_time(Value& value);
  bool read_features(Value& value);
  bool read_labels(Value& value);
  bool read_label(int task, Value& value);
  JsonRead read_real(std::string_view name, Value& value, Range range, std::string_view expected,
                     std::optional<double>& number);
  bool skip(Value& value) const;
  std::string_view text_of(Value& value) const;
  bool settle(JsonRead read, std::string_view name, Value& value, std::string_view expected);

  const Schema& schema_;
  const TypeTable& types_;
  const NameIndex feature_names_, task_names_;
  FeatureBuilder features_;
  Draft draft_;
  const char* end_ = nullptr;
  bool fixed_ = false;  // the type was settled by an earlier pass
  bool saw_body_ = false;
  bool again_ = false;
};

}  // namespace millrace
