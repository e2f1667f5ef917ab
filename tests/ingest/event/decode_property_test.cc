// The decoder against an oracle that reads a whole tree of values and applies the contract's
// sentences one after another. Bytes that nobody meant: tests/fuzz/decode_fuzz.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ingest/encode/simdjson_inner.h"
#include "ingest/event/decode.h"
#include "learner/base/random.h"
#include "learner/synthetic/funnel.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

namespace dom = simdjson::dom;
using Type = dom::element_type;

// The reason against a record, written from contract/README.md alone. For records without a
// repeated key and without integers beyond 64 bits, which the parser here does not take.
class Oracle {
 public:
  std::optional<Reason> judge(std::string_view topic, const std::string& record) {
    dom::element root;
    if (parser_.parse(record).get(root) != simdjson::SUCCESS) return Reason::kNotJson;
    if (!root.is_object()) return Reason::kWrongType;
    object_ = root.get_object().value();
    const auto type_field = get("type");
    std::string type = kTypeOf.contains(topic) ? std::string(kTypeOf.at(topic)) : "";
    const bool type_is_text = type_field && type_field->is_string();
    if (type_is_text) type = std::string(type_field->get_string().value());
    const bool outcome =
        type == "click" || type == "conversion" || type == "dwell" || type == "like";
    const bool impression = type == "impression", sample = type == "sample";

    if (type.empty() && !type_field) return Reason::kMissingField;
    if (!sample && !get("impression_id")) return Reason::kMissingField;
    if (!get("time")) return Reason::kMissingField;
    if (sample && !get("labels")) return Reason::kMissingField;
    if (type == "dwell" && !get("value")) return Reason::kMissingField;

    if (type_field && !type_is_text) return Reason::kWrongType;
    if (!fits("impression_id", is_id) || !fits("time", is_time)) return Reason::kWrongType;
    if (outcome && (!fits("event_id", is_id) || !fits("value", is_number))) {
      return Reason::kWrongType;
    }
    if ((impression || sample) && !common_fields_fit()) return Reason::kWrongType;
    if (sample && !labels_fit()) return Reason::kWrongType;
    if (!is_in_range(*get("time"))) return Reason::kTimeOutOfRange;
    if (!impression && !sample && !outcome) return Reason::kUnknownType;
    if (!topic.empty() && kTypeOf.at(topic) != type) return Reason::kTypeMismatch;
    return {};
  }

 private:
  std::optional<dom::element> get(std::string_view key) const { return get(object_, key); }
  static std::optional<dom::element> get(dom::object object, std::string_view key) {
    dom::element value;
    if (object.at_key(key).get(value) != simdjson::SUCCESS || value.is_null()) return {};
    return value;
  }
  template <class Predicate>
  bool fits(std::string_view key, Predicate predicate) const {
    const auto value = get(key);
    return !value || predicate(*value);
  }

  static bool is_integer(dom::element e) {
    return e.type() == Type::INT64 || e.type() == Type::UINT64;
  }
  static bool is_number(dom::element e) { return is_integer(e) || e.type() == Type::DOUBLE; }
  static bool is_name(dom::element e) { return e.is_string() || is_integer(e); }
  static bool is_id(dom::element e) {
    return is_integer(e) || (e.is_string() && !e.get_string().value().empty());
  }
  static bool is_time(dom::element e) {
    return is_integer(e) || (e.is_string() && parse_rfc3339(e.get_string().value()).has_value());
  }
  static bool is_in_range(dom::element time) {
    if (time.is_string()) return true;  // is_time has seen to it
    std::int64_t ms = 0;
    return time.get_int64().get(ms) == simdjson::SUCCESS && 0 <= ms && ms <= 253'402'300'799'999;
  }
  static bool is_category(dom::element e) { return is_name(e) || e.is_bool(); }
  static bool is_rate(dom::element e) {
    if (!is_number(e)) return false;
    const double rate = e.get_double().value();
    return 0 < rate && rate <= 1;
  }
  template <class Predicate>
  static bool is_list(dom::element e, Predicate predicate, std::optional<std::size_t> size = {}) {
    if (!e.is_array()) return false;
    const dom::array list = e.get_array().value();
    for (const dom::element item : list) {
      if (!predicate(item)) return false;
    }
    return !size || list.size() == *size;
  }

  bool common_fields_fit() const {
    if (!fits("user", is_name) || !fits("slice", is_name) || !fits("sampling_rate", is_rate) ||
        !fits("propensity", is_number) || !fits("position", is_number)) {
      return false;
    }
    const auto features = get("features");
    if (!features) return true;
    if (!features->is_object()) return false;
    const dom::object object = features->get_object().value();
    for (const char* name : {"user_id", "country", "item_id"}) {
      if (const auto value = get(object, name); value && !is_category(*value)) return false;
    }
    if (const auto genres = get(object, "genres"); genres && !is_list(*genres, is_category)) {
      return false;
    }
    if (const auto price = get(object, "price"); price && !is_number(*price)) return false;
    const auto taste = get(object, "taste");
    return !taste || is_list(*taste, is_number, 8);
  }

  bool labels_fit() const {
    const auto labels = get("labels");
    if (!labels->is_object()) return false;
    const dom::object object = labels->get_object().value();
    for (const char* name : {"ctr", "cvr", "like", "dwell"}) {
      const auto value = get(object, name);
      if (!value) continue;
      if (!is_number(*value)) return false;
      const double label = value->get_double().value();
      if (std::string_view(name) != "dwell" && label != 0 && label != 1) return false;
    }
    return true;
  }

  inline static const std::map<std::string_view, std::string_view> kTypeOf{
      {"impressions", "impression"}, {"samples", "sample"}, {"clicks", "click"},
      {"conversions", "conversion"}, {"dwell", "dwell"},    {"likes", "like"}};
  dom::parser parser_;
  dom::object object_;
};

// Draws words and numbers out of one seed.
class Source {
 public:
  explicit Source(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t below(std::size_t count) {
    return philox(seed_, 0, at_++)[0] % static_cast<std::uint32_t>(count);
  }
  template <std::size_t N>
  std::string_view one_of(const std::string_view (&words)[N]) {
    return words[below(N)];
  }

 private:
  const std::uint64_t seed_;
  std::uint64_t at_ = 0;
};

// A record that is right in most places: each field is there or not, in any order, with a value
// that mostly fits.
std::string random_record(Source& source) {
  static constexpr std::string_view kAny[] = {"null",
                                              "true",
                                              "7",
                                              "-1",
                                              "0.5",
                                              "\"x\"",
                                              "\"\"",
                                              "[]",
                                              "{}",
                                              "[1]",
                                              "{\"a\":[{}]}",
                                              "1e9",
                                              "7.0",
                                              "18446744073709551615",
                                              "[1,2,3,4,5,6,7,8]",
                                              "[\"a\",true,2]"};
  static constexpr std::string_view kTypes[] = {"\"impression\"", "\"sample\"", "\"click\"",
                                                "\"dwell\"",      "\"like\"",   "\"share\""};
  const auto object = [&](std::initializer_list<std::pair<const char*, std::string_view>> fields) {
    std::string text = "{";
    for (const auto& [key, value] : fields) {
      if (source.below(4) == 0) continue;
      if (text.size() > 1) text += ',';
      text.append("\"").append(key).append("\":");
      text += source.below(12) == 0 ? source.one_of(kAny) : value;
    }
    return text + "}";
  };
  const std::string features = object({{"user_id", "\"u\""},
                                       {"price", "3.5"},
                                       {"genres", "[\"a\",2,true]"},
                                       {"unknown", "[{}]"},
                                       {"taste", "[1,2.5,-3,4,5,6,7,8]"}});
  const std::string labels = object({{"ctr", "1"}, {"dwell", "2.5"}, {"none", "\"x\""}});
  std::vector<std::pair<std::string_view, std::string_view>> fields = {
      {"type", source.one_of(kTypes)},
      {"impression_id", "\"i\""},
      {"time", "1764000000000"},
      {"features", features},
      {"labels", labels},
      {"value", "2"},
      {"event_id", "5"},
      {"sampling_rate", "0.5"},
      {"user", "\"u\""},
      {"slice", "\"s\""},
      {"position", "3"},
      {"extra", "{\"a\":[1,2]}"}};
  std::string text = "{";
  while (!fields.empty()) {
    const auto at = source.below(fields.size());
    const auto [key, value] = fields[at];
    fields.erase(fields.begin() + at);
    if (source.below(8) == 0) continue;
    if (text.size() > 1) text += source.below(2) == 0 ? "," : " , ";
    text.append("\"").append(key).append(source.below(2) == 0 ? "\":" : "\" : ");
    text += source.below(25) == 0 ? source.one_of(kAny) : value;
  }
  return text + "}";
}

TEST(DecodeProperty, ReasonsAreTheOracles) {
  const Schema schema = shop_schema();
  const EventTypes types = shop_events();
  Decoder decoder(schema, types);
  Oracle oracle;
  std::map<std::string, int> seen;
  for (std::uint64_t seed = 0; seed < 60'000; ++seed) {
    Source source(seed);
    const std::string record = random_record(source);
    static constexpr std::string_view kTopics[] = {"",        "",      "impressions",
                                                   "samples", "dwell", "clicks"};
    const std::string_view topic = source.one_of(kTopics);
    const auto result = topic.empty() ? decoder.decode_line(record, 1 << 20)
                                      : decoder.decode(topic, record, 1 << 20);
    const auto expected = oracle.judge(topic, record);
    const std::string name = expected ? std::string(to_string(*expected)) : "event";
    ++seen[name];
    ASSERT_EQ(result ? "event" : std::string(to_string(result.error().reason)), name)
        << topic << " " << record << (result ? "" : "\n" + result.error().message);
  }
  for (const char* name : {"event", "missing_field", "wrong_type", "time_out_of_range",
                           "unknown_type", "type_mismatch"}) {
    EXPECT_GT(seen[name], 50) << name;
  }
}

TEST(DecodeProperty, WhatTheFunnelMakesComesBack) {
  const Schema schema = shop_schema();
  const EventTypes types = shop_events();
  Decoder decoder(schema, types);
  Funnel funnel({.seed = 11, .users = 50, .items = 20});
  dom::parser parser;
  for (int n = 0; n < 5'000; ++n) {
    const FunnelEvent made = funnel.next();
    const auto result = decoder.decode_line(made.json, 1 << 20);
    ASSERT_TRUE(result) << made.json << result.error().message;
    ASSERT_EQ(event_time(*result), made.time);
    if (made.type != "impression") {
      const auto& outcome = std::get<Outcome>(*result);
      EXPECT_EQ(types.outcomes[static_cast<std::size_t>(outcome.type)].name, made.type);
      EXPECT_EQ(outcome.impression_id, made.impression_id);
      continue;
    }
    const auto& impression = std::get<Impression>(*result);
    EXPECT_EQ(impression.id, made.impression_id);
    // The same features, out of a tree of values.
    FeatureBuilder builder(schema);
    const dom::element root = parser.parse(made.json);
    const dom::object features = root["features"].get_object().value();
    for (const auto& [name, value] : features) {
      const int feature = schema.find_feature(name);
      ASSERT_GE(feature, 0) << name;
      if (value.is_string()) {
        EXPECT_TRUE(builder.set_text(feature, value.get_string().value()));
      } else if (value.is_number()) {
        EXPECT_TRUE(builder.set_number(feature, value.get_double().value()));
      } else {
        ASSERT_TRUE(builder.begin_list(feature));
        const dom::array list = value.get_array().value();
        for (const dom::element item : list) {
          EXPECT_TRUE(item.is_string() ? builder.set_text(feature, item.get_string().value())
                                       : builder.set_number(feature, item.get_double().value()));
        }
        EXPECT_TRUE(builder.end_list(feature));
      }
    }
    EncodedFeatures expected;
    builder.finish(expected);
    EXPECT_EQ(impression.features, expected);
  }
}

}  // namespace
}  // namespace millrace
