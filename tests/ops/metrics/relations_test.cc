// The relations of tasks as series: each pair once, the learned ones by kind, unknown ones absent.
#include "ops/metrics/relations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(RelationMetrics, AreOfEachPairOnce) {
  TrainerReport report;
  report.model = "shop";
  RelationReport& relations = report.relations;
  relations.tasks = {"ctr", "cvr"};
  relations.gradient_norm = {0.5, NAN};
  relations.similarity = {0.25, NAN};
  relations.gradient_cosine = {1, -0.125, -0.125, 1};
  relations.conflict_rate = {0, 0.75, 0.75, 0};
  relations.label_correlation = relations.mutual_information = {1, NAN, NAN, 1};
  relations.representation_similarity = {1, 0.5, 0.5, 1};
  relations.positive = {1, 0.25, 0.25, 1};
  relations.negative = {0, 0.5, 0.5, 0};
  relations.neutral = {0, 0.25, 0.25, 0};
  MetricFamilies families;
  add_relations(report, families);
  const std::string text = families.text();
  const std::string pair = R"({model="shop",task="ctr",other="cvr")";
  EXPECT_THAT(text, HasSubstr("millrace_task_conflict_ratio" + pair + "} 0.75"));
  EXPECT_THAT(text,
              HasSubstr("millrace_task_relation_ratio" + pair + R"(,relation="negative"} 0.5)"));
  EXPECT_THAT(text, HasSubstr(R"(relation="positive"} 0.25)"));
  EXPECT_THAT(text, Not(HasSubstr(R"(task="cvr",other="ctr")")));
  EXPECT_THAT(text, Not(HasSubstr("millrace_task_label_correlation{")));
}

}  // namespace
}  // namespace millrace
