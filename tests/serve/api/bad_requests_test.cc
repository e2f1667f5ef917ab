// Each bad body gets the documented answer: its status, the place of the fault and what was
// expected there; and the connection goes on.
#include <boost/json.hpp>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

namespace json = boost::json;

struct BadRequestsTest : ServingTest {
  void SetUp() override {
    ServingTest::SetUp();
    publish_first();
  }
};

struct BadBody {
  std::string body;
  std::string says;  // a part of the error
};

TEST_F(BadRequestsTest, BadBodiesAreAnsweredWithWhatWasExpected) {
  start();
  std::string deep = R"({"x":)" + std::string(60, '[') + std::string(60, ']') + "}";
  const std::vector<BadBody> cases{
      {"", "the body is empty"},
      {"x", "not JSON: it breaks at byte 0"},
      {"{", "not JSON"},
      {R"({"candidates":[{"item_id":"m3"}])", "not JSON"},
      {R"({"candidates":[]} x)", "not JSON: it breaks at byte 18"},
      {R"({"candidates":[],})", "not JSON"},
      {R"({"candidates":[{"price":NaN}]})", "not JSON"},
      {R"({"candidates":[{"price":1e999}]})", "not JSON"},
      {R"({"candidates":[{"x":01}]})", "not JSON"},
      {R"({"x":[1,,2]})", "not JSON"},
      {R"({"candidates":[{"id":"a":[]}]})", "not JSON"},
      {R"({"x":"\ud800"})", "not JSON"},
      {"{\"x\":\"\xff\"}", "not JSON"},
      {"\xEF\xBB\xBF{}", "not JSON"},
      {"{'candidates':[]}", "not JSON"},
      {"[]", "the body: expected an object"},
      {"7", "the body: expected an object"},
      {"null", "the body: expected an object"},
      {R"("candidates")", "the body: expected an object"},
      {R"({"context":[]})", "\"context\": expected an object"},
      {R"({"context":"u7"})", "\"context\": expected an object"},
      {R"({"candidates":{}})", "\"candidates\": expected a list of objects"},
      {R"({"candidates":"m3"})", "\"candidates\": expected a list of objects"},
      {R"({"candidates":[{},"m3"]})", "candidate 1: expected an object"},
      {R"({"candidates":[null]})", "candidate 0: expected an object"},
      {R"({"candidates":[{"id":1.5}]})", "candidate 0, \"id\": expected a string or an integer"},
      {R"({"candidates":[{"id":true}]})", "candidate 0, \"id\""},
      {R"({"candidates":[{},{"id":{}}]})", "candidate 1, \"id\""},
      {R"({"candidates":[{"id":123456789012345678901234567890}]})", "candidate 0, \"id\""},
      {R"({"candidates":[{"item_id":1.5}]})",
       "candidate 0, feature \"item_id\": expected a string"},
      {R"({"candidates":[{"item_id":["m3"]}]})", "candidate 0, feature \"item_id\""},
      {R"({"candidates":[{"item_id":{}}]})", "candidate 0, feature \"item_id\""},
      {R"({"candidates":[{},{},{"genres":"drama"}]})", "candidate 2, feature \"genres\": expected"},
      {R"({"candidates":[{"genres":["drama",null]}]})", "candidate 0, feature \"genres\""},
      {R"({"candidates":[{"genres":[["drama"]]}]})", "candidate 0, feature \"genres\""},
      {R"({"candidates":[{"price":"12"}]})", "candidate 0, feature \"price\": expected a number"},
      {R"({"candidates":[{"price":true}]})", "candidate 0, feature \"price\""},
      {R"({"candidates":[{"taste":[1,2]}]})", "candidate 0, feature \"taste\""},
      {R"({"candidates":[{"taste":[1,2,3,4,5,6,7,8,9]}]})", "candidate 0, feature \"taste\""},
      {R"({"candidates":[{"taste":[1,2,3,4,5,6,7,"8"]}]})", "candidate 0, feature \"taste\""},
      {R"({"candidates":[{"taste":3}]})", "candidate 0, feature \"taste\""},
      {R"({"context":{"user_id":[]}})", "context, feature \"user_id\": expected"},
      {R"({"candidates":[{"item_id":"a"},{"user_id":"u7"}]})",
       "candidate 1, feature \"user_id\": belongs to the context"},
      {R"({"tasks":["ctr","clicks"]})", "\"clicks\" is no task; expected some of ctr, cvr"},
      {R"({"tasks":"ctr"})", "\"tasks\": expected a list of names"},
      {R"({"tasks":[1]})", "\"tasks\": expected a list of names"},
      {R"({"explain":1})", "\"explain\": expected true or false"},
      {deep, "nests deeper than 32 levels"},
  };
  HttpClient client(server->port());
  for (const BadBody& bad : cases) {
    for (const char* path : {"/v1/score", "/v1/rank"}) {
      // One connection takes them all: a bad body is no reason to close it.
      ASSERT_TRUE(client.send(http_request("POST", path, bad.body)));
      const auto reply = client.receive();
      ASSERT_TRUE(reply) << bad.body;
      expect_error(*reply, 400, bad.body);
      const auto error = json::parse(reply->body).as_object().at("error").as_string();
      EXPECT_NE(std::string_view(error).find(bad.says), std::string_view::npos) << bad.body << "\n"
                                                                                << error;
    }
  }
  const std::vector<std::string> bad_k{"0", "-1", "1.5", "\"3\"", "true", "[1]", "1e2", "{}"};
  for (const std::string& k : bad_k) {
    const HttpReply reply = post("/v1/rank", R"({"candidates":[{}],"k":)" + k + "}");
    expect_error(reply, 400, k);
    EXPECT_NE(reply.body.find("\\\"k\\\": expected an integer of at least 1"), std::string::npos);
  }
  expect_error(post("/v1/score", R"({"explain":true})"), 501, "explain");
}

TEST_F(BadRequestsTest, ErrorsCarryCandidateAndFeature) {
  start();
  const auto reply = post("/v1/score", R"({"candidates":[{},{"price":"x"}]})");
  const auto body = json::parse(reply.body).as_object();
  EXPECT_EQ(body.at("candidate").as_int64(), 1);
  EXPECT_EQ(body.at("feature"), "price");
}

TEST_F(BadRequestsTest, TooManyCandidates) {
  options.max_candidates = 3;
  start();
  EXPECT_EQ(post("/v1/score", R"({"candidates":[{},{},{}]})").status, 200);
  const auto reply = post("/v1/score", R"({"candidates":[{},{},{},{}]})");
  expect_error(reply, 400, "four candidates");
  EXPECT_NE(reply.body.find("more candidates than 3"), std::string::npos);
}

}  // namespace
}  // namespace millrace
