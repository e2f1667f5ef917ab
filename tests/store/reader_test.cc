// Readers beside a busy writer see whole commits only, although the writer moves its log into new
// files and deletes old ones while they open.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

TEST(Reader, SeesWholeCommitsBesideABusyWriter) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  ModelParticipant model("model/m"), join("join");
  ModelParticipant* const both[]{&model, &join};
  commit(*store, both);

  std::map<std::uint64_t, std::uint64_t> written{{store->sequence(), 0}};
  std::atomic<bool> done{false};
  std::map<std::uint64_t, std::uint64_t> seen;  // by sequence: the digest
  std::thread reader([&] {
    while (!done) {
      const auto copy = Store::open(folder / "store", Store::Access::kRead);
      seen[copy->sequence()] = copy->digest();
    }
  });
  std::mt19937_64 random(4);
  for (int i = 0; i < 120; ++i) {  // about 350 MB: logs are given up several times
    model.change(random, 30, 300, 100'000);
    join.change(random, 10, 300, 1000);
    commit(*store, both);
    written[store->sequence()] = digest_of(model) + digest_of(join);
  }
  done = true;
  reader.join();
  EXPECT_GT(seen.size(), 3u);
  for (const auto& [sequence, digest] : seen) {
    EXPECT_EQ(digest, written[sequence]) << "commit " << sequence;
  }
}

}  // namespace
}  // namespace millrace
