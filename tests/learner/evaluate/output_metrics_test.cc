// Every figure of an output against plain sums over the very rows that it should hold: errors,
// calibration, windows of event time, slices, the history; and all of it after restarts.
#include "learner/evaluate/output_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>

#include "learner/data/feature_key.h"
#include "learner/evaluate/composite.h"
#include "learner/evaluate/division.h"

namespace millrace {
namespace {

struct Row {
  Measurement m;
  RowPlace place;
  EventTime due;
};

std::vector<Row> draw(std::size_t count, bool binary, std::uint64_t seed, int slices = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Row> rows;
  std::int64_t time = 1'764'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    Row row;
    row.m.weight = random() % 4 == 0 ? 2 : 1;
    row.m.logit = 2 * normal(random) - 1;
    row.m.prediction = binary ? 1 / (1 + std::exp(-row.m.logit)) : 5 + normal(random);
    row.m.label = binary ? (random() % 4 == 0 ? 1 : 0) : 5 + 2 * normal(random);
    if (binary) {
      row.m.loss = -std::log(row.m.label > 0 ? row.m.prediction : 1 - row.m.prediction);
    }
    row.place = {random() % 50, static_cast<int>(random() % static_cast<std::uint64_t>(slices))};
    time += static_cast<std::int64_t>(random() % (random() % 200 == 0 ? 400'000 : 2'000));
    row.due = {time};
    rows.push_back(row);
  }
  return rows;
}

void add(OutputMetrics& metrics, const Row& row) {
  metrics.advance(row.due);
  metrics.add(row.m, row.place);
}

// Plain sums over the rows for which `holds`.
template <class Holds>
Figures oracle(const std::vector<Row>& rows, bool binary, Holds&& holds) {
  Tally tally(binary);
  for (const Row& row : rows) {
    if (holds(row)) tally.add(row.m);
  }
  return tally.figures();
}

void expect_near(const std::optional<double>& a, const std::optional<double>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (a) {
    EXPECT_NEAR(*a, *b, 1e-9 * std::max(1.0, std::fabs(*b)));
  }
}

void expect_near(const Figures& a, const Figures& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.positives, b.positives);
  for (const auto figure : {&Figures::auc, &Figures::log_loss, &Figures::normalized_entropy,
                            &Figures::calibration, &Figures::calibration_error, &Figures::rmse,
                            &Figures::mae, &Figures::label_mean, &Figures::prediction_mean,
                            &Figures::label_sum, &Figures::prediction_sum, &Figures::explained}) {
    expect_near(a.*figure, b.*figure);
  }
}

TEST(Figures, ErrorsOfARegressionAreThoseOfItsRows) {
  const auto rows = draw(700, false, 1);
  double weight = 0, squares = 0, absolutes = 0, labels = 0, predictions = 0;
  for (const auto& [m, place, due] : rows) {
    weight += m.weight;
    squares += m.weight * (m.prediction - m.label) * (m.prediction - m.label);
    absolutes += m.weight * std::fabs(m.prediction - m.label);
    labels += m.weight * m.label;
    predictions += m.weight * m.prediction;
  }
  double spread = 0;
  for (const auto& [m, place, due] : rows) {
    spread += m.weight * (m.label - labels / weight) * (m.label - labels / weight);
  }
  const Figures figures = oracle(rows, false, [](const Row&) { return true; });
  EXPECT_NEAR(*figures.rmse, std::sqrt(squares / weight), 1e-9);
  EXPECT_NEAR(*figures.mae, absolutes / weight, 1e-9);
  EXPECT_NEAR(*figures.label_mean, labels / weight, 1e-9);
  EXPECT_NEAR(*figures.prediction_sum, predictions, 1e-9);
  EXPECT_NEAR(*figures.explained, 1 - squares / spread, 1e-9);
  EXPECT_FALSE(figures.auc || figures.log_loss || figures.calibration_error);
}

TEST(Figures, CalibrationErrorIsThatOfBinsOfTheLogit) {
  const auto rows = draw(5'000, true, 2);
  std::map<int, std::pair<double, double>> bins;  // predictions, labels
  double weight = 0, error = 0;
  for (const auto& [m, place, due] : rows) {
    auto& [predictions, labels] = bins[static_cast<int>(std::floor(m.logit))];
    predictions += m.weight * m.prediction;
    labels += m.weight * m.label;
    weight += m.weight;
  }
  for (const auto& [bin, sums] : bins) error += std::fabs(sums.first - sums.second);
  const Figures figures = oracle(rows, true, [](const Row&) { return true; });
  EXPECT_NEAR(*figures.calibration_error, error / weight, 1.0 / 1024);
  EXPECT_FALSE(Tally(true).figures().calibration_error);
  EXPECT_FALSE(Tally(true).figures().label_mean);
}

TEST(Figures, LabelsThatAreAllAlikeHaveNoVariance) {
  Tally tally(false);
  for (int i = 0; i < 10; ++i) tally.add(Measurement{1, 0.1, 0.1 * i, 0, 0});
  EXPECT_FALSE(tally.figures().explained);
  EXPECT_TRUE(tally.figures().rmse);
}

TEST(OutputMetrics, AWindowOfEventTimeHoldsItsPieces) {
  for (const bool binary : {true, false}) {
    EvaluateOptions options;
    options.window = Duration{240'000};
    options.long_window = Duration{2'400'000};
    OutputMetrics metrics("m", binary, options);
    std::vector<Row> seen;
    for (const Row& row : draw(6'000, binary, 3)) {
      add(metrics, row);
      seen.push_back(row);
      if (seen.size() % 457 != 0) continue;
      metrics.refresh();
      ASSERT_EQ(metrics.report().spans.size(), 2U);
      for (const auto& [index, piece] : {std::pair(0, 10'000), std::pair(1, 100'000)}) {
        const auto& span = metrics.report().spans[static_cast<std::size_t>(index)];
        const std::int64_t last = row.due.ms / piece;
        expect_near(span.figures, oracle(seen, binary, [&](const Row& of) {
                      return of.due.ms / piece > last - 24;
                    }));
      }
    }
    EXPECT_EQ(metrics.report().spans[0].name, "4m");
    // Time goes on without rows.
    metrics.advance(seen.back().due + Duration{3'000'000});
    metrics.refresh();
    EXPECT_EQ(metrics.report().spans[1].figures.rows, 0U);
    EXPECT_FALSE(metrics.report().spans[1].figures.label_mean);
  }
}

Schema shop() {
  Feature country;
  country.name = "country";
  country.dimension = 2;
  Task click;
  click.name = "click";
  return Schema({country}, {click});
}

Batch of_keys(const std::vector<std::uint64_t>& keys) {
  static const Schema schema = shop();
  Batch batch = empty_batch(schema, Stream::kMatured);
  batch.rows = static_cast<int>(keys.size());
  batch.columns[0].keys = keys;
  return batch;
}

TEST(SliceKeys, FirstValuesAreToldApartAndTheRestIsOne) {
  const Schema schema = shop();
  SliceOptions options;
  options.feature = "country";
  options.most = 2;
  SliceKeys keys(schema, options);
  EXPECT_EQ(keys.count(), 3);
  EXPECT_EQ(keys.take(of_keys({7, kMissingKey, 9, 7, 11})), (std::vector{0, 2, 1, 0, 2}));
  EXPECT_EQ(keys.name(1), print_key(9));
  EXPECT_EQ(keys.name(2), "other");
  StateChanges changes;
  keys.save(changes);
  SliceKeys again(schema, options);
  ASSERT_TRUE(again.restore(changes.values.at(0).name, changes.values.at(0).bytes));
  EXPECT_EQ(again.take(of_keys({11, 9})), (std::vector{2, 1}));
  // Of other options nothing is taken over.
  options.most = 3;
  SliceKeys other(schema, options);
  ASSERT_TRUE(other.restore(changes.values.at(0).name, changes.values.at(0).bytes));
  EXPECT_EQ(other.take(of_keys({11, 9})), (std::vector{0, 1}));
}

TEST(SliceKeys, NamedValuesHaveTheirNames) {
  const Schema schema = shop();
  SliceOptions options;
  options.feature = "country";
  options.values = {{"de", "Germany"}, {"fr", ""}};
  SliceKeys keys(schema, options);
  const std::uint64_t seed = schema.tables()[0].seed;
  EXPECT_EQ(keys.take(of_keys({feature_key("fr", seed), 5, feature_key("de", seed)})),
            (std::vector{1, 2, 0}));
  EXPECT_EQ(keys.name(0), "Germany");
  EXPECT_EQ(keys.name(1), "fr");
}

TEST(SliceKeys, OfTheEventsOwnField) {
  const Schema schema = shop();
  SliceOptions options;
  options.event = true;
  options.values = {{"mobile", ""}};
  SliceKeys keys(schema, options);
  Batch batch = of_keys({1, 2, 3});
  EXPECT_EQ(keys.take(batch), (std::vector{1, 1, 1})) << "none has one";
  batch.slices = {slice_key("mobile"), 0, slice_key("web")};
  EXPECT_EQ(keys.take(batch), (std::vector{0, 1, 1}));
}

EvaluateOptions everything() {
  EvaluateOptions options;
  options.window = Duration{240'000};
  options.gauc_rows = 640;
  options.history = {100, 4};
  options.slices.feature = "country";
  options.slices.most = 3;
  return options;
}

TEST(OutputMetrics, SlicesAreThoseOfTheLastRows) {
  const Schema schema = shop();
  const SliceKeys keys(schema, everything().slices);
  for (const bool binary : {true, false}) {
    OutputMetrics metrics("m", binary, everything(), &keys);
    const auto rows = draw(112'345, binary, 5, 4);
    for (const Row& row : rows) add(metrics, row);
    metrics.refresh();
    const auto& slices = metrics.report().slices;
    ASSERT_EQ(slices.size(), 4U);
    EXPECT_EQ(slices[3].name, "other");
    const std::vector<Row> held(rows.end() - 97'345, rows.end());
    for (int slice = 0; slice < 4; ++slice) {
      expect_near(
          slices[static_cast<std::size_t>(slice)].figures,
          oracle(held, binary, [slice](const Row& row) { return row.place.slice == slice; }));
    }
  }
}

TEST(History, CoversTheWholeStreamByEqualSteps) {
  for (const bool binary : {true, false}) {
    History history(binary, {100, 4});
    const auto rows = draw(4'444, binary, 6);
    for (const Row& row : rows) history.add(row.m, row.due);
    // 44 windows: 8 points became 4 at 8, 16 and 32 windows.
    const auto points = history.points();
    ASSERT_EQ(points->size(), 6U);
    std::size_t first = 0;
    for (std::size_t i = 0; i < points->size(); ++i) {
      const HistoryPoint& point = (*points)[i];
      const std::size_t count = i < 5 ? 800 : 400;
      EXPECT_EQ(point.figures.rows, count);
      EXPECT_EQ(point.first, rows[first].due);
      EXPECT_EQ(point.last, rows[first + count - 1].due);
      double auc = 0;
      for (std::size_t w = first; w < first + count; w += 100) {
        Tally tally(binary);
        for (std::size_t r = w; r < w + 100; ++r) tally.add(rows[r].m);
        if (binary) auc += *tally.figures().auc / static_cast<double>(count / 100);
      }
      const std::vector<Row> part(rows.begin() + static_cast<std::ptrdiff_t>(first),
                                  rows.begin() + static_cast<std::ptrdiff_t>(first + count));
      Figures expected = oracle(part, binary, [](const Row&) { return true; });
      expected.calibration_error.reset();
      if (binary) expected.auc = auc;
      expect_near(point.figures, expected);
      first += count;
    }
  }
}

void expect_same(const OutputReport& a, const OutputReport& b) {
  expect_near(a.all, b.all);
  expect_near(a.window, b.window);
  ASSERT_EQ(a.spans.size(), b.spans.size());
  for (std::size_t i = 0; i < a.spans.size(); ++i) {
    expect_near(a.spans[i].figures, b.spans[i].figures);
  }
  ASSERT_EQ(a.slices.size(), b.slices.size());
  for (std::size_t i = 0; i < a.slices.size(); ++i) {
    EXPECT_EQ(a.slices[i].name, b.slices[i].name);
    expect_near(a.slices[i].figures, b.slices[i].figures);
  }
  ASSERT_EQ(a.gauc.has_value(), b.gauc.has_value());
  if (a.gauc) {
    EXPECT_EQ(a.gauc->value, b.gauc->value);
  }
  ASSERT_EQ(a.history->size(), b.history->size());
  for (std::size_t i = 0; i < a.history->size(); ++i) {
    EXPECT_EQ((*a.history)[i].first, (*b.history)[i].first);
    EXPECT_EQ((*a.history)[i].last, (*b.history)[i].last);
    expect_near((*a.history)[i].figures, (*b.history)[i].figures);
  }
}

TEST(OutputMetrics, ARestartAnywhereChangesNothing) {
  const Schema schema = shop();
  const SliceKeys keys(schema, everything().slices);
  for (const bool binary : {true, false}) {
    OutputMetrics whole("m", binary, everything(), &keys);
    auto cut = std::make_unique<OutputMetrics>("m", binary, everything(), &keys);
    std::map<std::string, std::string> values;
    std::mt19937_64 random(4);
    for (Row& row : draw(21'000, binary, 7, 4)) {
      // Rows that matured are behind those at once.
      if (random() % 3 == 0) row.due = row.due - Duration{100'000};
      add(whole, row);
      add(*cut, row);
      if (random() % 150 != 0) continue;
      StateChanges changes;
      cut->save(changes);
      for (const auto& value : changes.values) values[value.name] = value.bytes;
      if (random() % 3 != 0) continue;
      cut = std::make_unique<OutputMetrics>("m", binary, everything(), &keys);
      for (const auto& [name, bytes] : values) ASSERT_TRUE(cut->restore(name, bytes)) << name;
      whole.refresh();
      cut->refresh();
      expect_same(cut->report(), whole.report());
    }
    // Without the options the same state is read, and passed over.
    EvaluateOptions none;
    none.history.points = none.gauc_rows = 0;
    OutputMetrics plain("m", binary, none);
    for (const auto& [name, bytes] : values) EXPECT_TRUE(plain.restore(name, bytes)) << name;
    EXPECT_FALSE(plain.restore("m/other", ""));
  }
}

TEST(Composite, IsTheWeightedMeanOfDefinedScores) {
  Figures click, dwell;
  click.auc = 0.75;
  click.normalized_entropy = 0.8;
  dwell.explained = 0.3;
  EXPECT_DOUBLE_EQ(*composite_score(click, true, CompositeMeasure::kAuc), 0.5);
  EXPECT_DOUBLE_EQ(*composite_score(click, true, CompositeMeasure::kInformationGain), 0.2);
  EXPECT_DOUBLE_EQ(*composite_score(dwell, false, CompositeMeasure::kAuc), 0.3);
  EXPECT_FALSE(composite_score(dwell, true, CompositeMeasure::kAuc));
  EXPECT_DOUBLE_EQ(*composite_of(std::vector<CompositePart>{{1, 0.5}, {3, 0.1}, {0, {}}}), 0.2);
  EXPECT_FALSE(composite_of(std::vector<CompositePart>{{1, 0.5}, {3, {}}}));
  EXPECT_FALSE(composite_of({}));
}

// CTCVR / CTR; it may exceed 1, and there is none without a click.
TEST(Division, IsOfTheMeansOverAllRows) {
  Figures product, condition;
  product.prediction_mean = 0.3;
  product.label_mean = 0.1;
  condition.prediction_mean = 0.2;
  condition.label_mean = 0.4;
  EXPECT_DOUBLE_EQ(*division_of(product, condition).predicted, 1.5);
  EXPECT_DOUBLE_EQ(*division_of(product, condition).observed, 0.25);
  condition.label_mean = 0;
  EXPECT_FALSE(division_of(product, condition).observed);
  EXPECT_FALSE(division_of(product, Figures{}).predicted);
}

}  // namespace
}  // namespace millrace
