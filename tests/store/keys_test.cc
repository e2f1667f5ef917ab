// Keys sort as what they mean, and are read back; what is no key is refused.
#include "store/keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <vector>

namespace millrace {
namespace {

TEST(Keys, PiecesSortByParticipantSequenceSetAndPiece) {
  std::vector<keys::PieceKey> pieces;
  for (const char* participant : {"a", "a/b", "ab", "b"}) {
    for (const std::uint64_t sequence : {1ull, 2ull, 255ull, 256ull, 1ull << 32, ~0ull}) {
      for (const char* set : {"s", "s/1", "s1"}) {
        for (const std::uint32_t piece : {0u, 1u, 256u}) {
          pieces.push_back({participant, sequence, set, piece});
        }
      }
    }
  }
  auto meaning = [](const keys::PieceKey& key) {
    return std::tuple(key.participant, key.sequence, key.set, key.piece);
  };
  for (const keys::PieceKey& a : pieces) {
    EXPECT_EQ(keys::parse_piece(keys::piece(a)), a);
    EXPECT_TRUE(keys::piece(a).starts_with(keys::participant_prefix(a.participant)));
    for (const keys::PieceKey& b : pieces) {
      EXPECT_EQ(keys::piece(a) < keys::piece(b), meaning(a) < meaning(b));
      EXPECT_EQ(keys::piece(b).starts_with(keys::participant_prefix(a.participant)),
                a.participant == b.participant);
    }
  }
}

TEST(Keys, NamesAreReadBack) {
  const std::string value = keys::value("model/shop", "dense");
  EXPECT_EQ(keys::parse_value(value)->first, "model/shop");
  EXPECT_EQ(keys::parse_value(value)->second, "dense");
  const std::string live = keys::live("join", "waiting");
  EXPECT_EQ(keys::parse_live(live)->first, "join");
  EXPECT_EQ(keys::parse_live(live)->second, "waiting");
}

TEST(Keys, WhatIsNoKeyIsRefused) {
  const std::string piece = keys::piece({"p", 7, "s", 1});
  for (std::size_t length = 0; length < piece.size(); ++length) {
    EXPECT_FALSE(keys::parse_piece(piece.substr(0, length)));
  }
  EXPECT_FALSE(keys::parse_piece(piece + "x"));
  EXPECT_FALSE(keys::parse_value("no end"));
  EXPECT_FALSE(keys::parse_value(keys::value("a", "b") + "c"));
  EXPECT_FALSE(keys::parse_live(keys::value("a", "b")));
  EXPECT_DEATH(keys::value("", "b"), "empty");
  EXPECT_DEATH(keys::value("a", std::string("b\0c", 3)), "name");
}

}  // namespace
}  // namespace millrace
