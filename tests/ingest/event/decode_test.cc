// What a decoder must do with every record: the event that the contract says, or the first reason
// that applies, with a message that names the field; whatever the order of the fields.
#include "ingest/event/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "ingest/encode/features.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kMaxRecord = 4096;

struct DecodeTest : ::testing::Test {
  const Schema schema = shop_schema();
  const EventTypes types = shop_events();
  Decoder decoder{schema, types};

  Result<Event, Rejection> line(std::string_view text) {
    return decoder.decode_line(text, kMaxRecord);
  }
  template <class E>
  E event(const Result<Event, Rejection>& result) {
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_TRUE(std::holds_alternative<E>(*result));
    return std::get<E>(*result);
  }
  Batch row(const EncodedFeatures& features) {
    Batch batch = empty_batch(schema, Stream::kMatured);
    append_features(schema, features, batch);
    return batch;
  }
  std::uint64_t key(std::string_view text, std::string_view feature) {
    const int table = schema.table_of(schema.find_feature(feature));
    return feature_key(text, schema.tables()[static_cast<std::size_t>(table)].seed);
  }
  // The features of an impression with this `features` object, or the reason against it.
  Result<Event, Rejection> with_features(const std::string& features) {
    return line(R"({"type":"impression","impression_id":"i","time":1,"features":)" + features +
                "}");
  }
};

TEST_F(DecodeTest, ImpressionHoldsKeysAndUntransformedNumbers) {
  const auto e = event<Impression>(
      line(R"({"type":"impression","impression_id":"i2","time":1764000000100,"user":"u7",)"
           R"("features":{"user_id":"u7","country":"DE","item_id":"m9","genres":["comedy","war"],)"
           R"("price":3,"taste":[0.1,-0.2,0,0.4,0,0,0.3,1]},"sampling_rate":0.25})"));
  EXPECT_EQ(e.id, "i2");
  EXPECT_EQ(e.time, EventTime{1764000000100});
  EXPECT_EQ(e.sampling_rate, 0.25);
  EXPECT_EQ(e.user, user_key("u7"));
  const Batch batch = row(e.features);
  EXPECT_EQ(batch.rows, 1);
  EXPECT_EQ(batch.columns[0].keys, std::vector{key("u7", "user_id")});
  EXPECT_EQ(batch.columns[1].keys, std::vector{key("DE", "country")});
  EXPECT_EQ(batch.columns[2].keys, std::vector{key("m9", "item_id")});
  EXPECT_EQ(batch.columns[3].keys, (std::vector{key("comedy", "genres"), key("war", "genres")}));
  EXPECT_EQ(batch.columns[3].ends, std::vector<std::uint32_t>{2});
  EXPECT_EQ(batch.numeric, std::vector{static_cast<float>(std::log1p(3.0))});
  EXPECT_EQ(batch.dense, (std::vector<float>{0.1f, -0.2f, 0, 0.4f, 0, 0, 0.3f, 1}));
}

// A text or an integer, which is its text; null, nothing and the empty text are nobody.
TEST_F(DecodeTest, UsersAreKnownByTheirKey) {
  const auto user_of = [&](const std::string& user) {
    const std::string more = user.empty() ? user : R"(,"user":)" + user;
    const auto e = event<Impression>(
        line(R"({"type":"impression","impression_id":"i","time":1)" + more + "}"));
    const auto s = event<Sample>(line(R"({"type":"sample","time":1,"labels":{})" + more + "}"));
    EXPECT_EQ(e.user, s.user);
    return e.user;
  };
  EXPECT_EQ(user_of(R"("u7")"), user_key("u7"));
  EXPECT_EQ(user_of("7"), user_key("7"));
  EXPECT_EQ(user_of(R"("7")"), user_of("7"));
  EXPECT_EQ(user_of("-7"), user_key("-7"));
  EXPECT_EQ(user_of("18446744073709551615"), user_key("18446744073709551615"));
  EXPECT_NE(user_of(R"("u7")"), user_of(R"("u8")"));
  for (const char* nobody : {"", "null", R"("")"}) EXPECT_EQ(user_of(nobody), kNoUser);
  // Of a repeated field the last one counts.
  EXPECT_EQ(user_of(R"("u7","user":"u8")"), user_key("u8"));
  EXPECT_EQ(user_of(R"("u7","user":null)"), kNoUser);
  // A store holds these: they are the same for ever.
  EXPECT_EQ(user_key("u7"), 1'111'296'887'685'065'644ULL);
}

TEST_F(DecodeTest, ASliceRidesBehindTheFeatures) {
  const auto slices_of = [&](const std::string& more) {
    return row(event<Impression>(
                   line(R"({"type":"impression","impression_id":"i","time":1)" + more + "}"))
                   .features)
        .slices;
  };
  EXPECT_EQ(slices_of(R"(,"slice":"mobile")"), std::vector{slice_key("mobile")});
  EXPECT_EQ(slices_of(R"(,"slice":7)"), std::vector{slice_key("7")});
  for (const char* none : {"", R"(,"slice":null)", R"(,"slice":"")"}) {
    EXPECT_TRUE(slices_of(none).empty()) << none;
  }
}

TEST_F(DecodeTest, OutcomesOfAFile) {
  const auto dwell = event<Outcome>(line(
      R"({"type":"dwell","event_id":"e4","impression_id":17,"time":"1970-01-01T00:00:01.5009Z","value":30.5})"));
  EXPECT_EQ(dwell.type, 2);
  EXPECT_EQ(dwell.impression_id, "17");
  EXPECT_EQ(dwell.event_id, "e4");
  EXPECT_EQ(dwell.time, EventTime{1500});
  EXPECT_EQ(dwell.value, 30.5);

  const auto click = event<Outcome>(line(
      R"({"value":null,"event_id":18446744073709551615,"impression_id":-5,"time":0,"type":"click"})"));
  EXPECT_EQ(click.type, 0);
  EXPECT_EQ(click.impression_id, "-5");
  EXPECT_EQ(click.event_id, "18446744073709551615");
  EXPECT_FALSE(click.value);
}

TEST_F(DecodeTest, SampleLabelsByTaskName) {
  const auto e = event<Sample>(line(
      R"({"type":"sample","time":5,"labels":{"dwell":-3,"ctr":1,"cvr":null,"like":0.0,"x":[{}]}})"));
  EXPECT_EQ(e.id, "");
  ASSERT_EQ(e.labels.size(), 4u);
  EXPECT_EQ(e.labels[0], 1);
  EXPECT_TRUE(std::isnan(e.labels[1]));
  EXPECT_EQ(e.labels[2], -3);
  EXPECT_EQ(e.labels[3], 0);
  EXPECT_EQ(decoder.counts().unknown_labels, 1u);
  EXPECT_EQ(decoder.counts().missing_features, 6u);
}

TEST_F(DecodeTest, TheOrderOfTheFieldsChangesNothing) {
  const auto first = event<Impression>(line(
      R"({"type":"impression","impression_id":"i","time":1,"features":{"price":2,"user_id":"a"}})"));
  const auto last = event<Impression>(line(
      R"({"features":{"user_id":"a","price":2},"time":1,"impression_id":"i","type":"impression"})"));
  EXPECT_EQ(first.features, last.features);
  EXPECT_EQ(decoder.counts().missing_features, 8u);
}

TEST_F(DecodeTest, TheTopicSaysTheType) {
  const auto e =
      event<Outcome>(decoder.decode("likes", R"({"impression_id":"i","time":1})", kMaxRecord));
  EXPECT_EQ(e.type, 3);
  event<Outcome>(
      decoder.decode("likes", R"({"impression_id":"i","time":1,"type":"like"})", kMaxRecord));
  event<Outcome>(
      decoder.decode("likes", R"({"impression_id":"i","time":1,"type":null})", kMaxRecord));
  event<Sample>(decoder.decode("samples", R"({"labels":{},"time":1})", kMaxRecord));
}

TEST_F(DecodeTest, TypesThatShareATopicAreTold) {
  EventTypes shared = types;
  shared.outcomes[3].topic = "clicks";
  Decoder both(schema, shared);
  EXPECT_EQ(event<Outcome>(both.decode("clicks", R"({"type":"like","impression_id":"i","time":1})",
                                       kMaxRecord))
                .type,
            3);
  const auto none = both.decode("clicks", R"({"impression_id":"i","time":1})", kMaxRecord);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, Reason::kMissingField);
  EXPECT_THAT(none.error().message, HasSubstr("\"type\""));
  const auto other = both.decode(
      "clicks", R"({"type":"dwell","value":1,"impression_id":"i","time":1})", kMaxRecord);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().reason, Reason::kTypeMismatch);
}

TEST_F(DecodeTest, NullIsAbsentAndUnknownIsCounted) {
  const auto e = event<Impression>(line(
      R"({"type":"impression","impression_id":"i","time":1,"user":null,"sampling_rate":null,"slice":null,)"
      R"("propensity":null,"position":null,"more":{"a":[1,{"b":"\ud83d\ude00"}]},)"
      R"("features":{"user_id":null,"genres":null,"price":null,"taste":null,"colour":[1,[2]],"item_id":""}})"));
  EXPECT_EQ(e.sampling_rate, 1);
  EXPECT_EQ(decoder.counts().missing_features, 5u);
  EXPECT_EQ(decoder.counts().unknown_features, 1u);
  const Batch batch = row(e.features);
  EXPECT_EQ(batch.columns[0].keys[0], kMissingKey);
  EXPECT_NE(batch.columns[2].keys[0], kMissingKey);  // an empty text is a value
  EXPECT_TRUE(std::isnan(batch.numeric[0]));
  EXPECT_EQ(batch.dense, std::vector<float>(8, 0));
  event<Impression>(line(R"({"type":"impression","impression_id":"i","time":1,"features":null})"));
}

TEST_F(DecodeTest, EscapesInKeysAndValues) {
  const auto e = event<Impression>(
      line(R"({"\u0074ype":"impre\u0073sion","impression_id":"a\nb\u0000","time":1,)"
           R"("features":{"user\u005fid":"\u00fc"}})"));
  EXPECT_EQ(e.id, std::string("a\nb\0", 4));
  EXPECT_EQ(row(e.features).columns[0].keys[0], key("ü", "user_id"));
}

TEST_F(DecodeTest, OneKeyForANumberAndItsText) {
  const auto keys = [&](const std::string& value) {
    const auto e = event<Impression>(
        with_features(R"({"user_id":)" + value + R"(,"genres":[)" + value + "]}"));
    const Batch batch = row(e.features);
    EXPECT_EQ(batch.columns[3].keys.size(), 1u);
    return std::pair{batch.columns[0].keys[0], batch.columns[3].keys[0]};
  };
  EXPECT_EQ(keys("7"), keys("\"7\""));
  EXPECT_EQ(keys("-12"), keys("\"-12\""));
  EXPECT_EQ(keys("18446744073709551615"), keys("\"18446744073709551615\""));
  EXPECT_EQ(keys("-9223372036854775808"), keys("\"-9223372036854775808\""));
  EXPECT_EQ(keys("true"), keys("\"true\""));
  EXPECT_EQ(keys("false"), keys("\"false\""));
  EXPECT_NE(keys("7"), keys("8"));
}

TEST_F(DecodeTest, AHugeNumberStaysFinite) {
  const auto e = event<Impression>(with_features(
      R"({"price":-1e300,"taste":[1e300,-1e300,1e-300,0,0,0,0,18446744073709551615]})"));
  const Batch batch = row(e.features);
  EXPECT_NEAR(batch.numeric[0], -300 * std::log(10.0), 1e-3);
  for (const float value : batch.dense) EXPECT_TRUE(std::isfinite(value));
}

struct Bad {
  std::string_view topic;  // empty: a line of a file
  std::string record;
  Reason reason;
  std::string_view told;  // part of the message
};

// An impression of a file with more fields behind the required ones.
std::string impression(const std::string& more) {
  return R"({"type":"impression","impression_id":"i","time":1)" + more + "}";
}
std::string features(const std::string& inside) {
  return impression(R"(,"features":{)" + inside + "}");
}
std::string click_at(const std::string& time) {
  return R"({"type":"click","impression_id":"i","time":)" + time + "}";
}

std::vector<Bad> bad_records() {
  using enum Reason;
  return {
      // too_large comes before all others
      {"", std::string(kMaxRecord + 1, 'x'), kTooLarge, "4097"},
      // not_json, whatever else is wrong
      {"clicks", "", kNotJson, "empty"},
      {"", "   ", kNotJson, "ends too early"},
      {"", "{", kNotJson, "ends too early"},
      {"", "}", kNotJson, "byte 0"},
      {"", "nul", kNotJson, "not JSON"},
      {"", "click i 5", kNotJson, "byte 0"},
      {"", "\xEF\xBB\xBF" + click_at("1"), kNotJson, "byte order mark"},
      {"", click_at("1") + "}", kNotJson, "byte 45"},
      {"", click_at("1") + " 1", kNotJson, "byte 46"},
      {"", click_at("1") + click_at("1"), kNotJson, "byte 45"},
      {"", click_at("1") + std::string(1, '\0'), kNotJson, "byte 45"},
      {"", click_at("1,"), kNotJson, "byte"},
      {"", click_at("NaN"), kNotJson, "byte"},
      {"", click_at("Infinity"), kNotJson, "byte"},
      {"", click_at("01"), kNotJson, "byte"},
      {"", click_at("+1"), kNotJson, "byte"},
      {"", click_at("1."), kNotJson, "byte"},
      {"", click_at("1 2"), kNotJson, "byte"},
      {"", click_at("tru"), kNotJson, "byte"},
      {"", click_at("nulll"), kNotJson, "byte"},
      {"", click_at("'1'"), kNotJson, "byte"},
      {"", click_at(""), kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time" 1})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i" "time":1})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i,"time":1})", kNotJson, "byte"},
      {"", R"({type:"click","impression_id":"i","time":1})", kNotJson, "byte 1"},
      {"", R"({"type":"click","impression_id":"\ud800","time":1})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"\udc00","time":1})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"\ud800\ud800","time":1})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"\x","time":1})", kNotJson, "byte"},
      {"", "{\"type\":\"click\",\"impression_id\":\"\xff\",\"time\":1}", kNotJson, "byte"},
      {"", "{\"type\":\"click\",\"impression_id\":\"\xed\xa0\x80\",\"time\":1}", kNotJson, "byte"},
      {"", "{\"type\":\"click\",\"impression_id\":\"a\nb\",\"time\":1}", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":[1,]})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":{"a":}})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":12ab})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":"\q"})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":[})", kNotJson, "byte"},
      {"", R"({"type":"click","impression_id":"i","time":1,"more":1e400})", kNotJson, "byte"},
      {"", features(R"("price":1e400)"), kNotJson, "byte"},
      {"", features(R"("price":NaN)"), kNotJson, "byte"},
      {"", features(R"("colour":[1,2)"), kNotJson, "byte"},
      {"", features(R"("genres":["a" "b"])"), kNotJson, "byte"},
      {"", features(R"("price":{},"user_id":tru)"), kNotJson, "byte"},
      {"", R"([1,)", kNotJson, "early"},
      {"", R"({"type":"no such","features":{"a":[}})", kNotJson, "byte"},
      // missing_field, before any wrong type
      {"", R"({})", kMissingField, "\"type\""},
      {"", R"({"impression_id":"i","time":1})", kMissingField, "\"type\""},
      {"", R"({"type":null,"impression_id":"i","time":1})", kMissingField, "\"type\""},
      {"", R"({"type":"click","time":1})", kMissingField, "\"impression_id\""},
      {"", R"({"type":"click","impression_id":null,"time":"x"})", kMissingField, "impression_id"},
      {"", R"({"type":"click","impression_id":"i"})", kMissingField, "\"time\""},
      {"", R"({"type":"click","impression_id":"i","time":null})", kMissingField, "\"time\""},
      {"", R"({"type":"impression","impression_id":5.5})", kMissingField, "\"time\""},
      {"", R"({"type":"dwell","impression_id":"i","time":1})", kMissingField, "\"value\""},
      {"dwell", R"({"impression_id":"i","time":1,"value":null})", kMissingField, "\"value\""},
      {"", R"({"type":"sample","time":1})", kMissingField, "\"labels\""},
      {"", R"({"type":"sample","time":1,"labels":null,"features":3})", kMissingField, "labels"},
      {"", R"({"type":"no such","time":1})", kMissingField, "\"impression_id\""},
      {"", R"({"type":5,"impression_id":"i"})", kMissingField, "\"time\""},
      // wrong_type
      {"", R"([1,2])", kWrongType, "no object: [1,2]"},
      {"", R"("click")", kWrongType, "no object"},
      {"", R"(null)", kWrongType, "no object"},
      {"", R"(12)", kWrongType, "no object"},
      {"", R"({"type":5,"impression_id":"i","time":1})", kWrongType, "field \"type\": 5"},
      {"clicks", R"({"type":["click"],"impression_id":"i","time":1})", kWrongType, "\"type\""},
      {"", R"({"type":"click","impression_id":"","time":1})", kWrongType, "impression_id"},
      {"", R"({"type":"click","impression_id":7.0,"time":1})", kWrongType, "impression_id"},
      {"", R"({"type":"click","impression_id":true,"time":1})", kWrongType, "impression_id"},
      {"", R"({"type":"click","impression_id":18446744073709551616,"time":1})", kWrongType,
       "18446744073709551616"},
      {"", R"({"type":"sample","impression_id":"","time":1,"labels":{}})", kWrongType, "_id"},
      {"", R"({"type":"click","impression_id":"i","event_id":"","time":1})", kWrongType,
       "event_id"},
      {"", R"({"type":"click","impression_id":"i","event_id":{},"time":1})", kWrongType,
       "event_id"},
      {"", click_at("1.5"), kWrongType, "field \"time\": 1.5 is not milliseconds"},
      {"", click_at("1764000000000.0"), kWrongType, "time"},
      {"", click_at("1e3"), kWrongType, "time"},
      {"", click_at("true"), kWrongType, "time"},
      {"", click_at("\"yesterday\""), kWrongType, "\"yesterday\" is not"},
      {"", click_at("\"2025-11-24T16:00:40\""), kWrongType, "RFC 3339"},
      {"", click_at("\"2025-02-30T16:00:40Z\""), kWrongType, "RFC 3339"},
      {"", click_at("\"1764000000000\""), kWrongType, "RFC 3339"},
      {"", click_at("\"\""), kWrongType, "RFC 3339"},
      {"", click_at("99999999999999999999"), kWrongType, "time"},
      {"", R"({"type":"dwell","impression_id":"i","time":1,"value":"30"})", kWrongType, "value"},
      {"", R"({"type":"click","impression_id":"i","time":1,"value":true})", kWrongType, "value"},
      {"", R"({"type":"click","impression_id":"i","time":-1,"value":[]})", kWrongType, "value"},
      {"", impression(R"(,"sampling_rate":0)"), kWrongType, "above 0"},
      {"", impression(R"(,"sampling_rate":1.0001)"), kWrongType, "sampling_rate"},
      {"", impression(R"(,"sampling_rate":-0.5)"), kWrongType, "sampling_rate"},
      {"", impression(R"(,"sampling_rate":"1")"), kWrongType, "sampling_rate"},
      {"", impression(R"(,"user":1.5)"), kWrongType, "user"},
      {"", impression(R"(,"user":["u"])"), kWrongType, "user"},
      {"", impression(R"(,"features":[])"), kWrongType, "field \"features\": []"},
      {"", impression(R"(,"features":"x")"), kWrongType, "an object"},
      {"", features(R"("user_id":7.0)"), kWrongType, "features.user_id\": 7.0 is not a string"},
      {"", features(R"("user_id":["a"])"), kWrongType, "features.user_id"},
      {"", features(R"("user_id":{"a":1})"), kWrongType, "features.user_id"},
      {"", features(R"("user_id":36893488147419103232)"), kWrongType, "features.user_id"},
      {"", features(R"("genres":"drama")"), kWrongType, "features.genres"},
      {"", features(R"("genres":["a",null])"), kWrongType, "features.genres"},
      {"", features(R"("genres":["a",["b"]])"), kWrongType, "features.genres"},
      {"", features(R"("genres":[1.5])"), kWrongType, "features.genres"},
      {"", features(R"("price":"3")"), kWrongType, "features.price\": \"3\" is not a number"},
      {"", features(R"("price":true)"), kWrongType, "features.price"},
      {"", features(R"("price":[3])"), kWrongType, "features.price"},
      {"", features(R"("price":99999999999999999999)"), kWrongType, "features.price"},
      {"", features(R"("taste":[1,2,3])"), kWrongType, "a list of 8 numbers"},
      {"", features(R"("taste":[1,2,3,4,5,6,7,8,9])"), kWrongType, "features.taste"},
      {"", features(R"("taste":[1,2,3,4,5,6,7,"8"])"), kWrongType, "features.taste"},
      {"", features(R"("taste":[1,2,3,4,5,6,7,null])"), kWrongType,
       "field \"features.taste\": [1,2,3,4,5,6,7,null] is not"},
      {"", features(R"("taste":5)"), kWrongType, "features.taste"},
      {"", R"({"type":"sample","time":1,"labels":[]})", kWrongType, "labels"},
      {"", R"({"type":"sample","time":1,"labels":{"ctr":2}})", kWrongType, "labels.ctr\": 2"},
      {"", R"({"type":"sample","time":1,"labels":{"ctr":0.5}})", kWrongType, "0 or 1"},
      {"", R"({"type":"sample","time":1,"labels":{"ctr":true}})", kWrongType, "labels.ctr"},
      {"", R"({"type":"sample","time":1,"labels":{"dwell":"9"}})", kWrongType, "labels.dwell"},
      // time_out_of_range, before an unknown type
      {"", click_at("-1"), kTimeOutOfRange, "-1"},
      {"", click_at("253402300800000"), kTimeOutOfRange, "1970 to 9999"},
      {"", click_at("9223372036854775807"), kTimeOutOfRange, "1970 to 9999"},
      {"", click_at("18446744073709551615"), kTimeOutOfRange, "1970 to 9999"},
      {"", click_at("\"1969-12-31T23:59:59Z\""), kTimeOutOfRange, "1969"},
      {"", click_at("\"9999-12-31T23:59:59-01:00\""), kTimeOutOfRange, "9999"},
      {"", R"({"type":"no such","impression_id":"i","time":-5})", kTimeOutOfRange, "-5"},
      {"clicks", R"({"type":"like","impression_id":"i","time":-5})", kTimeOutOfRange, "-5"},
      // unknown_type: nothing else of it is judged
      {"", R"({"type":"share","impression_id":"i","time":1})", kUnknownType, "\"share\""},
      {"", R"({"type":"","impression_id":"i","time":1})", kUnknownType, "type"},
      {"", R"({"features":3,"value":"x","type":"share","impression_id":"i","time":1})",
       kUnknownType, "share"},
      {"impressions", R"({"features":3,"type":"share","impression_id":"i","time":1})", kUnknownType,
       "share"},
      // type_mismatch
      {"clicks", R"({"type":"like","impression_id":"i","time":1})", kTypeMismatch, "\"like\""},
      {"impressions", R"({"type":"click","impression_id":"i","time":1})", kTypeMismatch, "click"},
      {"clicks", R"({"type":"impression","impression_id":"i","time":1})", kTypeMismatch, "topic"},
      {"no such topic", R"({"type":"click","impression_id":"i","time":1})", kTypeMismatch, "topic"},
  };
}

TEST_F(DecodeTest, BadRecordsHaveTheirReason) {
  for (const Bad& bad : bad_records()) {
    const auto result =
        bad.topic.empty() ? line(bad.record) : decoder.decode(bad.topic, bad.record, kMaxRecord);
    ASSERT_FALSE(result) << bad.record;
    EXPECT_EQ(to_string(result.error().reason), to_string(bad.reason)) << bad.record << "\n"
                                                                       << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(std::string(bad.told))) << bad.record;
    // A refused record leaves nothing behind.
    const auto next = event<Impression>(with_features(R"({"price":1})"));
    EXPECT_EQ(next.features, event<Impression>(with_features(R"({"price":1})")).features);
  }
}

TEST_F(DecodeTest, WhatIsOfAnotherTypeKeepsItsTime) {
  for (const std::string type : {"share", "like"}) {
    const auto result = decoder.decode(
        "clicks", R"({"type":")" + type + R"(","impression_id":"i","time":77})", kMaxRecord);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().time, EventTime{77}) << type;
  }
  EXPECT_FALSE(line(R"({"type":"click","impression_id":"","time":77})").error().time);
}

TEST_F(DecodeTest, MessagesAreShortAndWholeCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "ü";
  const auto result = with_features(R"({"price":"x)" + text + R"("})");
  ASSERT_FALSE(result);
  EXPECT_LT(result.error().message.size(), 120u);
  EXPECT_THAT(result.error().message, HasSubstr("ü…"));
}

TEST_F(DecodeTest, TheContractsFile) {
  std::ifstream file(SOURCE_DIR "/tests/data/contract/events.jsonl");
  std::vector<std::size_t> kinds;
  for (std::string text; std::getline(file, text);) {
    const auto result = line(text);
    ASSERT_TRUE(result) << result.error().message;
    kinds.push_back(result->index());
  }
  EXPECT_EQ(kinds, (std::vector<std::size_t>{0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(decoder.counts().missing_features, 0u);
}

TEST_F(DecodeTest, WithoutImpressionsAFileMayStillHoldSamples) {
  const EventTypes none;
  Decoder samples(schema, none);
  EXPECT_TRUE(samples.decode_line(R"({"type":"sample","time":1,"labels":{"ctr":1}})", kMaxRecord));
  const auto result =
      samples.decode_line(R"({"type":"impression","impression_id":"i","time":1})", kMaxRecord);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().reason, Reason::kUnknownType);
}

}  // namespace
}  // namespace millrace
