// What `inspect` says is what the participants wrote, in the form that scripts rely on.
#include "ops/inspection.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "ingest/join/accounts_state.h"
#include "ops/report.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;

Accounts some_accounts() {
  Accounts accounts;
  accounts.events = 60;
  accounts.dead_letters[static_cast<std::size_t>(Reason::kWrongType)] = 3;
  accounts.impressions = {20, 1, 2, 10, 7};
  accounts.outcomes = {30, 1, 2, 3, 4, 5, 6, 9};
  accounts.samples = 7;
  accounts.rows = 12;
  return accounts;
}

Commit some_commit() {
  Commit commit;
  commit.sequence = 42;
  StateChanges source;
  KafkaPositions positions;
  positions.set({"clicks", 1}, 17);
  positions.set({"impressions", 0}, 5'000'000'000);
  source.values.push_back({"kafka_positions", positions.save(), false});
  commit.parts.push_back({"source", source});
  StateChanges join;
  ByteWriter accounts;
  write_accounts(some_accounts(), accounts);
  join.values.push_back({"accounts", accounts.take(), false});
  commit.parts.push_back({"join", join});
  StateChanges model;
  EntryWriter rows;
  rows.put("12345678", "0123456789");
  rows.put("abcdefgh", "0123456789");
  model.blocks.push_back({"rows/item_id", rows.take()});
  model.sizes.push_back({"rows/item_id", 54});
  model.sizes.push_back({"candidates/item_id", 0});
  model.sizes.push_back({"rows/user_id", 0});
  commit.parts.push_back({"model/shop", model});
  return commit;
}

struct InspectionTest : ::testing::Test {
  const TempFolder folder;
  std::unique_ptr<Store> store = Store::open(folder / "store", Store::Access::kWrite);
  json::object read() {
    const auto reader = Store::open(folder / "store", Store::Access::kRead);
    return json::parse(to_json(inspect(*reader))).as_object();
  }
};

TEST_F(InspectionTest, SaysWhatTheCommitHolds) {
  store->write(some_commit());
  const SnapshotInfo snapshot = store->snapshot(EventTime{1'700'000'000'000}, 3);
  const json::object out = read();
  EXPECT_EQ(out.at("commit"), json::value(42));
  EXPECT_EQ(out.at("version"), json::value("42.0"));
  EXPECT_EQ(out.at("offsets"), json::parse(R"([{"topic": "clicks", "partition": 1, "offset": 17},
                            {"topic": "impressions", "partition": 0, "offset": 5000000000}])"));
  EXPECT_EQ(out.at("tables"),
            json::parse(R"([{"model": "shop", "name": "item_id", "rows": 2, "bytes": 36},
                            {"model": "shop", "name": "user_id", "rows": 0, "bytes": 0}])"));
  EXPECT_EQ(out.at("digest"), json::value(print_digest(store->digest())));
  const json::object& listed = out.at("snapshots").at(0).as_object();
  EXPECT_EQ(listed.at("name"), json::value(snapshot.name));
  EXPECT_EQ(listed.at("commit"), json::value(42));
  EXPECT_EQ(listed.at("taken"), json::value("2023-11-14T22:13:20.000Z"));
  EXPECT_EQ(listed.at("bytes"), json::value(snapshot.bytes));
}

TEST_F(InspectionTest, TheAccountsAreThoseOfTheReport) {
  store->write(some_commit());
  const json::object out = read();
  json::object expected;
  add_accounts(some_accounts(), expected);
  for (const auto& [name, value] : expected) EXPECT_EQ(out.at(name), value) << name;
  EXPECT_EQ(out.at("dead_letters").as_object().size(), std::size_t{kReasons}) << "zeros too";
  EXPECT_EQ(out.at("samples"), json::parse(R"({"in": 7})"));
}

TEST_F(InspectionTest, CappedRowsAreThoseOfTheReport) {
  EXPECT_EQ(read().at("capped"), json::parse(R"({"rows": 0, "users": 0, "crowded": 0})"));
  const UserCapOptions options{.rows = 1};
  UserCap cap(options);
  for (int i = 0; i < 6; ++i) {
    JoinedRow row{.impression_id = {},
                  .time = {},
                  .due = {1000},
                  .watermark = {},
                  .features = {},
                  .user = static_cast<std::uint64_t>(1 + i % 2),
                  .labels = {1},
                  .counts = {1}};
    cap.weigh(row);
  }
  store->write({1, {{"user_cap", cap.save(1, {})}}});
  EXPECT_EQ(read().at("capped"), json::parse(R"({"rows": 4, "users": 2, "crowded": 0})"));
  const auto reader = Store::open(folder / "store", Store::Access::kRead);
  EXPECT_NE(to_text(inspect(*reader)).find("rows 4"), std::string::npos)
      << to_text(inspect(*reader));
}

TEST_F(InspectionTest, FilesAreKnownByPath) {
  ByteWriter files;
  files.put(std::uint32_t{1});
  files.put_text("a/events.jsonl");
  for (const std::uint64_t number : {1234ull, 10ull, 99ull}) files.put(std::uint64_t{number});
  StateChanges source;
  source.values.push_back({"files", files.take(), false});
  store->write({1, {{"source", source}}});
  EXPECT_EQ(read().at("offsets"),
            json::parse(R"([{"path": "a/events.jsonl", "position": 1234, "lines": 10}])"));
}

TEST_F(InspectionTest, ANewStoreHasEmptyAccounts) {
  const json::object out = read();
  EXPECT_EQ(out.at("commit"), json::value(0));
  EXPECT_EQ(out.at("events"), json::value(0));
  EXPECT_EQ(out.at("digest"), json::value("0000000000000000"));
  EXPECT_TRUE(out.at("offsets").as_array().empty());
}

TEST_F(InspectionTest, ADamagedNoteOfWhatWasAcknowledgedIsSaid) {
  store->write(some_commit());
  EXPECT_TRUE(read().at("lost_commits").is_null());
  std::ofstream(folder / "store/acknowledged") << "x";
  const json::object lost = read().at("lost_commits").as_object();
  EXPECT_TRUE(lost.at("acknowledged").is_null());
  EXPECT_EQ(lost.at("recovered").to_number<int>(), 42);
  const auto reader = Store::open(folder / "store", Store::Access::kRead);
  EXPECT_NE(to_text(inspect(*reader)).find("lost commits  not known"), std::string::npos);
}

TEST_F(InspectionTest, TheTextHasEveryPart) {
  store->write(some_commit());
  const std::string text = to_text(inspect(*store));
  for (const char* part :
       {"commit        42\n", "impressions/0 at 5000000000", "wrong_type 3",
        "in 20 · late 1 · duplicate 2 · finished 10 · waiting 7", "item_id of shop: 2 rows"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << '\n' << text;
  }
}

}  // namespace
}  // namespace millrace
