// Every way to train, admit and drop embedding rows, in whole training: no thread and no restart
// changes a bit, and what is served holds exactly the rows that are learned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

struct Way {
  std::string name;
  LearnerOptions options;
};

std::vector<Way> ways(int batch) {
  std::vector<Way> all;
  const auto add = [&](std::string name, auto change) {
    LearnerOptions options = stream::options(batch);
    options.embeddings.expire_after = Duration{6'000};
    change(options);
    all.push_back({std::move(name), options});
  };
  for (const auto& choice : Choices<EmbeddingOptimizer>::all) {
    add(std::string(choice.name), [&](LearnerOptions& o) {
      o.train.embedding.optimizer = choice.value;
      o.train.embedding.rate = 0.05;
    });
  }
  add("ftrl with l1", [](LearnerOptions& o) {
    o.train.embedding.optimizer = EmbeddingOptimizer::kFtrl;
    o.train.embedding.l1 = 0.05;
  });
  add("decay", [](LearnerOptions& o) { o.train.embedding.decay = 0.5; });
  add("l2", [](LearnerOptions& o) { o.train.embedding.l2 = 0.01; });
  add("schedule", [](LearnerOptions& o) {
    o.train.embedding.schedule = {.shape = ScheduleShape::kExponential, .warmup = 3, .length = 10};
  });
  add("eviction", [](LearnerOptions& o) {
    o.embeddings.max_rows = 25;
    o.embeddings.evict = Eviction::kOldest;
  });
  add("eviction of candidates", [](LearnerOptions& o) {
    o.embeddings.max_rows = 25;
    o.embeddings.admit_after = 3;
    o.embeddings.evict = Eviction::kOldest;
  });
  add("bloom", [](LearnerOptions& o) {
    o.embeddings.admission = KeyAdmission::kBloom;
    o.embeddings.admission_memory.value = 4096;
    o.embeddings.admit_after = 3;
  });
  return all;
}

Batch draw(stream::Source& source, std::mt19937_64& random, int most) {
  const int rows =
      random() % 2 == 0 ? most : 1 + static_cast<int>(random() % static_cast<std::uint64_t>(most));
  return source.next(rows);
}

TEST(RowTraining, ThreadsChangeNoBit) {
  for (Way& way : ways(1024)) {
    Trainer one("m", schema(), way.options);
    way.options.train.threads = 2;
    Trainer two("m", schema(), way.options);
    stream::Source source(schema(), 4);
    for (int i = 0; i < 6; ++i) {
      const Batch batch = source.next(1024);
      one.train(batch);
      two.train(batch);
    }
    EXPECT_THAT(differences(state_of(one), state_of(two)), ::testing::IsEmpty()) << way.name;
  }
}

TEST(RowTraining, ARestartAnywhereChangesNoBit) {
  for (const Way& way : ways(32)) {
    Trainer whole("m", schema(), way.options);
    auto cut = std::make_unique<Trainer>("m", schema(), way.options);
    StateLog log;
    stream::Source source(schema(), 5);
    std::mt19937_64 random(6), restarts(7);
    for (int i = 0; i < 200; ++i) {
      const Batch batch = draw(source, random, 32);
      whole.train(batch);
      cut->train(batch);
      if (restarts() % 10 != 0) continue;
      log.commit(*cut, restarts() % 3);
      cut = std::make_unique<Trainer>("m", schema(), way.options);
      log.restore(*cut);
    }
    log.commit(*cut);
    EXPECT_THAT(differences(log.digested(), state_of(whole)), ::testing::IsEmpty()) << way.name;
    const TableReport a = cut->report().tables[0], b = whole.report().tables[0];
    EXPECT_EQ(a.evicted, b.evicted) << way.name;
    EXPECT_EQ(a.expired, b.expired) << way.name;
    EXPECT_EQ(b.evicted > 0, way.options.embeddings.evict == Eviction::kOldest) << way.name;
  }
}

TEST(RowTraining, WhatIsServedHasTheRowsThatAreLearned) {
  for (const Way& way : ways(32)) {
    Trainer trainer("m", schema(), way.options);
    stream::Source source(schema(), 8);
    std::mt19937_64 random(9);
    std::vector<std::map<std::uint64_t, std::vector<float>>> served(schema().tables().size());
    for (int i = 0; i < 150; ++i) {
      trainer.train(draw(source, random, 32));
      if (i % 7 != 0 && i != 149) continue;
      const Publication publication = trainer.publish();
      for (std::size_t t = 0; t < served.size(); ++t) {
        const TableUpdate& update = publication.tables[t];
        const auto D = static_cast<std::size_t>(schema().tables()[t].dimension);
        for (const std::uint64_t key : update.erased) served[t].erase(key);
        for (std::size_t k = 0; k < update.keys.size(); ++k) {
          const float* const row = update.rows.data() + k * D;
          served[t][update.keys[k]].assign(row, row + D);
        }
      }
    }
    std::size_t rows = 0;
    for (const auto& [at, value] : state_of(trainer)) {
      for (std::size_t t = 0; t < served.size(); ++t) {
        if (at.first != "rows/" + schema().tables()[t].name) continue;
        std::uint64_t key = 0;
        std::memcpy(&key, at.second.data(), sizeof key);
        ASSERT_TRUE(served[t].contains(key)) << way.name;
        const std::vector<float>& row = served[t][key];
        EXPECT_EQ(std::memcmp(row.data(), value.data(), row.size() * sizeof(float)), 0) << way.name;
        ++rows;
      }
    }
    EXPECT_EQ(rows, served[0].size() + served[1].size()) << way.name;
  }
}

}  // namespace
}  // namespace millrace
