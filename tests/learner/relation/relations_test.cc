// What tasks have to do with each other: gradient cosines, labels and representations against plain
// computations of the same figures, missing values, running means, and the saved state.
#include "learner/relation/relations.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

std::vector<Task> make_tasks(std::initializer_list<TaskKind> kinds) {
  std::vector<Task> tasks;
  for (const TaskKind kind : kinds) {
    tasks.emplace_back().name = "t" + std::to_string(tasks.size());
    tasks.back().kind = kind;
  }
  return tasks;
}

TEST(GradientCosine, IsOfMeansOfItsParts) {
  GradientCosine cosines(3, 1000);
  EXPECT_FALSE(cosines.cosine(0, 1).has_value());
  // g0 = (1, 0), g1 = (3, 4); then g0 = (0, 2), g1 = (0, −1); task 2 only the second time, (1, 1).
  cosines.add(std::vector<double>{1, 3, NAN, 3, 25, NAN, NAN, NAN, NAN});
  cosines.add(std::vector<double>{4, -2, 2, -2, 1, -1, 2, -1, 2});
  EXPECT_NEAR(*cosines.cosine(0, 1), (3 - 2) / std::sqrt((1 + 4) * (25 + 1)), 1e-12);
  EXPECT_NEAR(*cosines.cosine(2, 0), 2 / std::sqrt(4 * 2), 1e-12);
  EXPECT_NEAR(*cosines.cosine(1, 2), -1 / std::sqrt(2), 1e-12);
  EXPECT_NEAR(*cosines.conflict_rate(0, 1), 0.5, 1e-12);
  EXPECT_NEAR(*cosines.conflict_rate(1, 2), 1, 1e-12);
  EXPECT_NEAR(*cosines.cosine(1, 1), 1, 1e-12);
  EXPECT_NEAR(*cosines.norm(1), std::sqrt(13), 1e-12);
  EXPECT_NEAR(*cosines.similarity(0), (1 / std::sqrt(130) + 1 / std::sqrt(2)) / 2, 1e-12);
  EXPECT_NEAR(*cosines.similarity(1), 1 / std::sqrt(130) / 2, 1e-12);
}

TEST(GradientCosine, OldMeasurementsFade) {
  GradientCosine cosines(2, 10);
  for (int i = 0; i < 100; ++i) cosines.add(std::vector<double>{1, -1, -1, 1});
  for (int i = 0; i < 100; ++i) cosines.add(std::vector<double>{1, 1, 1, 1});
  EXPECT_NEAR(*cosines.cosine(0, 1), 1, 1e-3);
  EXPECT_NEAR(*cosines.conflict_rate(0, 1), 0, 1e-3);
}

struct Rows {
  std::vector<float> labels, weights;
};

// Two binary labels and two regressions that go together, one in five missing, weights 1 and 2.5.
Rows draw_rows(int count, int seed) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seed));
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> unit;
  Rows rows;
  for (int r = 0; r < count; ++r) {
    const double common = normal(random);
    const double values[4] = {common + normal(random) > 0.5 ? 1.0 : 0.0,
                              common + normal(random) > 1 ? 1.0 : 0.0,
                              1000 + common + normal(random), 3 - common};
    for (const double value : values) {
      rows.labels.push_back(unit(random) < 0.2 ? kMissing : static_cast<float>(value));
    }
    rows.weights.push_back(random() % 7 == 0 ? 0 : random() % 3 == 0 ? 2.5F : 1);
  }
  return rows;
}

double pearson(const Rows& rows, std::size_t i, std::size_t j) {
  long double n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t r = 0; r < rows.weights.size(); ++r) {
      const float x = rows.labels[r * 4 + i], y = rows.labels[r * 4 + j], w = rows.weights[r];
      if (std::isnan(x) || std::isnan(y)) continue;
      if (pass == 0) {
        n += w, a += w * static_cast<long double>(x), b += w * static_cast<long double>(y);
      } else {
        aa += w * (x - a / n) * (x - a / n);
        bb += w * (y - b / n) * (y - b / n);
        ab += w * (x - a / n) * (y - b / n);
      }
    }
  }
  return static_cast<double>(ab / std::sqrt(aa * bb));
}

TEST(LabelRelation, CorrelationIsPearsonsOnCommonRows) {
  const Rows rows = draw_rows(5000, 1);
  using enum TaskKind;
  LabelRelation relation(make_tasks({kBinary, kBinary, kRegression, kRegression}), 1e6);
  for (std::size_t first = 0; first < 5000; first += 625) {
    relation.add(std::span(rows.labels).subspan(first * 4, 2500),
                 std::span(rows.weights).subspan(first, 625));
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const double expected =
          pearson(rows, static_cast<std::size_t>(i), static_cast<std::size_t>(j));
      EXPECT_NEAR(*relation.correlation(i, j), expected, 1e-9) << i << j;
      EXPECT_EQ(relation.correlation(i, j), relation.correlation(j, i));
      EXPECT_EQ(relation.mutual_information(i, j), relation.mutual_information(j, i));
    }
  }
  EXPECT_LT(*relation.correlation(2, 3), -0.6);
}

TEST(LabelRelation, MutualInformationOfBinaryLabelsIsOfTheirCounts) {
  const Rows rows = draw_rows(3000, 2);
  using enum TaskKind;
  LabelRelation relation(make_tasks({kBinary, kBinary, kRegression, kRegression}), 1e6);
  relation.add(rows.labels, rows.weights);
  double counts[2][2] = {}, all = 0;
  for (std::size_t r = 0; r < 3000; ++r) {
    const float x = rows.labels[r * 4], y = rows.labels[r * 4 + 1];
    if (std::isnan(x) || std::isnan(y)) continue;
    counts[x > 0.5][y > 0.5] += rows.weights[r];
    all += rows.weights[r];
  }
  double information = 0;
  for (int a = 0; a < 2; ++a) {
    for (int b = 0; b < 2; ++b) {
      const double p = counts[a][b] / all, pa = (counts[a][0] + counts[a][1]) / all,
                   pb = (counts[0][b] + counts[1][b]) / all;
      information += p * std::log(p / (pa * pb));
    }
  }
  EXPECT_NEAR(*relation.mutual_information(0, 1), information, 1e-9);
}

// A label with itself has all of its entropy in common; independent ones nothing.
TEST(LabelRelation, MutualInformationOfNumbersIsOfTheirQuartiles) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal(50, 4);
  std::vector<float> labels;
  for (int r = 0; r < 40'000; ++r) {
    labels.push_back(static_cast<float>(normal(random)));
    labels.push_back(static_cast<float>(random() % 2));
    labels.push_back(labels[labels.size() - 2] > 50 ? 1 : 0);
  }
  using enum TaskKind;
  LabelRelation relation(make_tasks({kRegression, kBinary, kBinary}), 1e6);
  relation.add(labels, std::vector<float>(40'000, 1));
  EXPECT_NEAR(*relation.mutual_information(0, 0), std::log(4), 0.01);
  EXPECT_NEAR(*relation.mutual_information(0, 1), 0, 1e-3);
  EXPECT_NEAR(*relation.mutual_information(2, 0), std::log(2), 0.04);
  EXPECT_NEAR(*relation.mutual_information(0, 2), std::log(2), 0.04);
}

TEST(LabelRelation, WhatIsUndefinedIsNothing) {
  using enum TaskKind;
  LabelRelation relation(make_tasks({kBinary, kBinary, kRegression}), 1e6);
  EXPECT_FALSE(relation.correlation(0, 1).has_value());
  EXPECT_FALSE(relation.mutual_information(0, 2).has_value());
  relation.add(std::vector<float>{1, 1, kMissing, 1, 0, kMissing}, std::vector<float>{1, 1});
  EXPECT_FALSE(relation.correlation(0, 1).has_value());  // task 0 was always 1
  EXPECT_EQ(relation.mutual_information(0, 1), 0);
  EXPECT_FALSE(relation.correlation(1, 2).has_value());
}

TEST(LabelRelation, OldRowsFade) {
  using enum TaskKind;
  LabelRelation relation(make_tasks({kBinary, kRegression}), 1000);
  const auto feed = [&](bool same) {
    std::vector<float> labels;
    for (int r = 0; r < 500; ++r) {
      labels.push_back(static_cast<float>(r % 2));
      labels.push_back(static_cast<float>(same ? r % 2 : 1 - r % 2));
    }
    for (int i = 0; i < 20; ++i) relation.add(labels, std::vector<float>(500, 1));
  };
  feed(true);
  EXPECT_NEAR(*relation.correlation(0, 1), 1, 1e-9);
  feed(false);
  EXPECT_LT(*relation.correlation(0, 1), -0.99);
}

// Representations of `tasks` tasks: v_t = x A_t + noise, x common or not.
std::vector<float> draw_representation(int rows, int units, std::uint64_t seed, bool common) {
  std::vector<float> v;
  for (std::uint64_t t = 0; t < 2; ++t) {
    for (int r = 0; r < rows; ++r) {
      for (int h = 0; h < units; ++h) {
        const auto bits = philox(seed, common ? 0 : t, static_cast<std::uint64_t>(r * units + h));
        // Rotated for the second task: CKA does not see that.
        const double value = to_normal(bits[0], bits[1])[0];
        v.push_back(static_cast<float>(t == 0 ? value : -2 * value));
      }
    }
  }
  return v;
}

TEST(RepresentationSimilarity, CkaOfTheSameIsOneAndOfIndependentOnesNothing) {
  constexpr int kUnits = 24;
  for (const bool common : {true, false}) {
    RepresentationSimilarity cka(2, kUnits, RepresentationMeasure::kCka, 1000);
    RepresentationSimilarity cosine(2, kUnits, RepresentationMeasure::kCosine, 1000);
    EXPECT_FALSE(cka.similarity(0, 1).has_value());
    for (std::uint64_t i = 0; i < 200; ++i) {
      cka.add(draw_representation(32, kUnits, i, common), 32);
      cosine.add(draw_representation(32, kUnits, i, common), 32);
    }
    EXPECT_NEAR(*cka.similarity(0, 1), common ? 1 : 0, common ? 1e-9 : 0.02);
    EXPECT_NEAR(*cka.similarity(1, 1), 1, 1e-9);
    EXPECT_NEAR(*cosine.similarity(0, 1), common ? -1 : 0, common ? 1e-6 : 0.02);
  }
}

// The estimator written down as in the paper, with whole matrices.
TEST(RepresentationSimilarity, IsSongsUnbiasedEstimate) {
  constexpr int n = RepresentationSimilarity::kRows, kUnits = 5;
  std::vector<float> v = draw_representation(n, kUnits, 1, false);
  for (std::size_t i = 0; i < v.size() / 2; ++i) v[i] += 0.7F * v[v.size() / 2 + i];
  const auto kernel = [&](int t, int a, int b) {
    double sum = 0;
    for (int h = 0; h < kUnits; ++h) {
      sum += double{v[static_cast<std::size_t>((t * n + a) * kUnits + h)]} *
             v[static_cast<std::size_t>((t * n + b) * kUnits + h)];
    }
    return a == b ? 0 : sum;
  };
  const auto hsic = [&](int s, int t) {
    double trace = 0, sum_s = 0, sum_t = 0, rows = 0;
    for (int a = 0; a < n; ++a) {
      double row_s = 0, row_t = 0;
      for (int b = 0; b < n; ++b) {
        trace += kernel(s, a, b) * kernel(t, b, a);
        row_s += kernel(s, a, b);
        row_t += kernel(t, a, b);
      }
      sum_s += row_s;
      sum_t += row_t;
      rows += row_s * row_t;
    }
    return (trace + sum_s * sum_t / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3));
  };
  RepresentationSimilarity cka(2, kUnits, RepresentationMeasure::kCka, 1000);
  for (int first = 0; first < n; first += 8) {  // in parts, as small batches bring them
    std::vector<float> part;
    for (int t = 0; t < 2; ++t) {
      const auto begin = v.begin() + (t * n + first) * kUnits;
      part.insert(part.end(), begin, begin + 8 * kUnits);
    }
    EXPECT_EQ(cka.wanted(), n - first);
    cka.add(part, 8);
  }
  EXPECT_EQ(cka.wanted(), n);
  EXPECT_NEAR(*cka.similarity(0, 1), hsic(0, 1) / std::sqrt(hsic(0, 0) * hsic(1, 1)), 1e-9);
}

// Tasks 0–2 help each other, 3 hinders them, 4 has nothing to do with any.
std::vector<double> families(int seed) {
  const double base[5][3] = {{1, 0.2, 0}, {1, -0.2, 0}, {0.8, 0.1, 0}, {-1, 0.1, 0}, {0, 0, 1}};
  std::vector<double> gram;
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 5; ++j) {
      double sum = 0;
      for (int d = 0; d < 3; ++d) sum += base[i][d] * base[j][d];
      gram.push_back(sum * (1 + 0.01 * (seed % 3)));
    }
  }
  return gram;
}

TEST(RelationClassifier, LearnsTheMeasuredRelations) {
  GradientCosine cosines(5, 1000);
  RelationClassifier classifier(5, 0.05, 1);
  for (int i = 0; i < 600; ++i) {
    cosines.add(families(i));
    classifier.learn(cosines);
  }
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 5; ++j) {
      const auto p = classifier.relation(i, j);
      EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-12);
      EXPECT_EQ(p, classifier.relation(j, i));
      const Relation expected = i == j                 ? Relation::kPositive
                                : i == 4 || j == 4     ? Relation::kNeutral
                                : (i == 3) != (j == 3) ? Relation::kNegative
                                                       : Relation::kPositive;
      EXPECT_GT(p[static_cast<std::size_t>(expected)], 0.8) << i << j;
    }
  }
  EXPECT_EQ(classifier.relation(2, 2), (std::array<double, 3>{1, 0, 0}));
}

// Of a pair that was never measured together its neighbours tell.
TEST(RelationClassifier, GeneralisesToPairsThatWereNeverMeasured) {
  GradientCosine cosines(5, 1000);
  RelationClassifier classifier(5, 0.05, 2);
  for (int i = 0; i < 1500; ++i) {
    // 0 and 3 never have labels in one step.
    std::vector<double> gram = families(i);
    const std::size_t absent = i % 2 == 0 ? 0 : 3;
    gram[absent * 6] = NAN;
    cosines.add(gram);
    classifier.learn(cosines);
  }
  EXPECT_FALSE(cosines.cosine(0, 3).has_value());
  EXPECT_GT(classifier.relation(0, 3)[1], 0.5);
}

TEST(Relations, NothingIsLearnedBeforeItIsMeasured) {
  using enum TaskKind;
  std::vector<Feature> features(1);
  features[0].name = "x";
  features[0].kind = FeatureKind::kNumeric;
  const Schema schema(features, make_tasks({kBinary, kBinary}));
  Relations relations(schema, RelationOptions{}, 3, 1);
  EXPECT_TRUE(std::isnan(relations.report().positive[1]));
  EXPECT_TRUE(std::isnan(relations.report().neutral[2]));
  EXPECT_EQ(relations.report().positive[3], 1);
  relations.add_gradients(std::vector<double>{1, NAN, NAN, NAN});  // task 1 has no label
  EXPECT_TRUE(std::isnan(relations.report().negative[1]));
  relations.add_gradients(std::vector<double>{1, 0.5, 0.5, 1});
  EXPECT_GT(relations.report().positive[1], 0);
}

TEST(Relations, ComeBackBitForBit) {
  std::vector<Feature> features(1);
  features[0].name = "x";
  features[0].kind = FeatureKind::kNumeric;
  using enum TaskKind;
  const Schema schema(features, make_tasks({kBinary, kBinary, kRegression, kRegression}));
  RelationOptions options;
  const auto feed = [&](Relations& relations, int from, int to) {
    for (int i = from; i < to; ++i) {
      Rows rows = draw_rows(50, i);
      Batch batch = empty_batch(schema, Stream::kMatured);
      batch.rows = 50;
      batch.labels = rows.labels;
      batch.weights = rows.weights;
      relations.add_labels(batch);
      std::vector<double> gram(16, 0.1 * i);
      for (std::size_t k = 0; k < 4; ++k) gram[k * 5] = 1 + i;
      relations.add_gradients(gram);
      std::vector<float> v;
      for (int n = 0; n < 4 * 7 * 3; ++n) v.push_back(static_cast<float>(std::sin(n * i)));
      const int rows_wanted = std::min(7, relations.representation().wanted());
      v.resize(static_cast<std::size_t>(4 * rows_wanted * 3));
      relations.representation().add(v, rows_wanted);
    }
  };
  Relations one(schema, options, 3, 1), two(schema, options, 3, 1);
  feed(one, 0, 11);
  ByteWriter writer;
  one.save(writer);
  ByteReader reader(writer.bytes());
  two.restore(reader);
  EXPECT_TRUE(reader.at_end());
  feed(one, 11, 25);
  feed(two, 11, 25);
  ByteWriter a, b;
  one.save(a);
  two.save(b);
  EXPECT_EQ(a.bytes(), b.bytes());
  Relations three(schema, options, 3, 1);
  ByteReader short_reader(std::string_view(writer.bytes()).substr(0, writer.size() - 1));
  EXPECT_THROW(three.restore(short_reader), StateError);
}

TEST(Relations, MeasureEveryNthStepOfSeveralTasks) {
  std::vector<Feature> features(1);
  features[0].name = "x";
  features[0].kind = FeatureKind::kNumeric;
  const Schema one(features, make_tasks({TaskKind::kBinary}));
  const Schema two(features, make_tasks({TaskKind::kBinary, TaskKind::kBinary}));
  RelationOptions options;
  options.every = 4;
  const Relations relations(two, options, 3, 1), alone(one, options, 3, 1);
  options.every = 0;
  const Relations never(two, options, 3, 1);
  for (std::uint64_t step = 0; step < 20; ++step) {
    EXPECT_EQ(relations.measures(step), step % 4 == 0);
    EXPECT_FALSE(alone.measures(step) || never.measures(step));
  }
}

}  // namespace
}  // namespace millrace
