// The body of /v1/relations: matrices in the order of the tasks, unknown figures as null.
#include "serve/api/relations.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>

namespace millrace {
namespace {

namespace json = boost::json;

TrainerReport report() {
  TrainerReport report;
  report.model = "shop";
  RelationReport& relations = report.relations;
  relations.tasks = {"ctr", "say \"hi\""};
  relations.gradient_norm = {0.5, NAN};
  relations.similarity = {0.25, NAN};
  relations.gradient_cosine = {1, -0.125, -0.125, 1};
  relations.conflict_rate = {0, 0.75, 0.75, 0};
  relations.label_correlation = {1, NAN, NAN, 1};
  relations.mutual_information = {0.5, NAN, NAN, 0.25};
  relations.representation_similarity = {1, 0.5, 0.5, 1};
  relations.positive = {1, 0.25, 0.25, 1};
  relations.negative = {0, 0.5, 0.5, 0};
  relations.neutral = {0, 0.25, 0.25, 0};
  return report;
}

TEST(RelationsAnswer, HasMatricesByTask) {
  const json::object body = json::parse(print_relations(report())).as_object();
  EXPECT_EQ(body.at("model"), "shop");
  EXPECT_EQ(body.at("tasks").at(1), "say \"hi\"");
  EXPECT_EQ(body.at("gradient_norm").at(0).as_double(), 0.5);
  EXPECT_TRUE(body.at("gradient_norm").at(1).is_null());
  const json::value& cosines = body.at("gradient_cosine");
  ASSERT_EQ(cosines.as_array().size(), 2U);
  EXPECT_EQ(cosines.at(0).at(1).to_number<double>(), -0.125);
  EXPECT_EQ(cosines.at(1).at(1).to_number<double>(), 1);
  EXPECT_TRUE(body.at("label_correlation").at(0).at(1).is_null());
  EXPECT_EQ(body.at("learned").at("negative").at(0).at(1).to_number<double>(), 0.5);
}

TEST(RelationsAnswer, IsEmptyWhereNothingIsMeasured) {
  const json::object body = json::parse(print_relations(TrainerReport{})).as_object();
  EXPECT_TRUE(body.at("tasks").as_array().empty());
  EXPECT_TRUE(body.at("gradient_cosine").as_array().empty());
}

}  // namespace
}  // namespace millrace
