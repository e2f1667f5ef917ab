// MMoE's synthetic experiment in its short form: every backbone learns both regressions, and the
// figures do not depend on the number of threads. The long form is `make mmoe-experiment`.
#include "tests/support/mmoe_experiment.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

mmoe_experiment::Options small() {
  mmoe_experiment::Options options;
  options.steps = 1'500;
  options.seeds = 2;
  options.dimension = 10;
  options.rate = 0.005;
  options.test_rows = 2'000;
  return options;
}

TEST(MmoeExperiment, EveryBackboneLearnsBothRegressions) {
  for (const mmoe_experiment::Outcome& outcome :
       mmoe_experiment::run(small(), mmoe_experiment::contenders())) {
    EXPECT_EQ(outcome.errors.size(), 2u);
    for (const double error : outcome.errors) {
      EXPECT_LT(error, 0.4) << outcome.name << ' ' << outcome.correlation;
      EXPECT_GT(error, 0.0005) << outcome.name;  // the noise cannot be known
    }
  }
}

TEST(MmoeExperiment, ThreadsChangeNoFigure) {
  mmoe_experiment::Options one = small();
  one.steps = 20;
  one.threads = 1;
  mmoe_experiment::Options two = one;
  two.threads = 2;
  const auto contenders = mmoe_experiment::contenders();
  const auto a = mmoe_experiment::run(one, contenders), b = mmoe_experiment::run(two, contenders);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].errors, b[i].errors);
}

}  // namespace
}  // namespace millrace
