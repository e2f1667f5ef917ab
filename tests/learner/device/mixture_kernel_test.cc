// The rows of a mixture, forward and backward, against plain loops at every remainder of columns
// and any number of gates; their bits do not depend on the instruction set.
#include "learner/device/mixture_kernel.h"

#include <gtest/gtest.h>

#include <string>

#include "learner/device/running_sums.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

// A block of rows whose sums are added together, and some.
constexpr int kRows = kTotals + 5;

template <class T>
double value(T x) {
  return static_cast<double>(x);
}

template <class T>
void check_mix(int H, int experts, int gates, bool goes_on, double tolerance) {
  SCOPED_TRACE(std::to_string(H) + " columns, " + std::to_string(experts) + " experts, " +
               std::to_string(gates) + " gates, goes on " + std::to_string(goes_on));
  const Matrix<T> g(kRows, gates * experts, 1), y(kRows, experts * H, 2),
      before(kRows, gates * H, 3);
  Matrix<double> expected(kRows, gates * H);
  std::vector<View<const T>> outputs;
  for (int e = 0; e < experts; ++e) outputs.push_back(y.view().cols_from(e * H, H));
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < gates; ++t) {
      for (int h = 0; h < H; ++h) {
        double& sum = expected(r, t * H + h);
        sum = goes_on ? value(before(r, t * H + h)) : 0;
        for (int e = 0; e < experts; ++e) {
          sum += value(g(r, t * experts + e)) * value(y(r, e * H + h));
        }
      }
    }
  }
  std::vector<T> first;
  for (const InstructionSet set : instruction_sets()) {
    Matrix<T> v = before;
    std::vector<MixedGate<T>> mixed;
    for (int t = 0; t < gates; ++t) {
      mixed.push_back({g.view().cols_from(t * experts, experts), v.view().cols_from(t * H, H)});
    }
    mix_rows<T>(set, mixed, outputs.data(), goes_on);
    EXPECT_LT(distance(v.values, expected.values), tolerance);
    if (first.empty()) first = v.values;
    EXPECT_EQ(v.values, first);
  }
}

template <class T>
void check_backward(int H, int gates, bool goes_on, bool masked, double tolerance) {
  SCOPED_TRACE(std::to_string(H) + " columns, " + std::to_string(gates) + " gates, goes on " +
               std::to_string(goes_on) + ", masked " + std::to_string(masked));
  const Matrix<T> g(kRows, gates, 1), y(kRows, H, 2), dv(kRows, gates * H, 3), before(kRows, H, 4);
  Matrix<double> dy_expected(kRows, H), a_expected(kRows, gates);
  for (int r = 0; r < kRows; ++r) {
    for (int h = 0; h < H; ++h) {
      double sum = goes_on ? value(before(r, h)) : 0;
      for (int t = 0; t < gates; ++t) {
        sum += value(g(r, t)) * value(dv(r, t * H + h));
        a_expected(r, t) += value(y(r, h)) * value(dv(r, t * H + h));
      }
      dy_expected(r, h) = masked && y(r, h) <= 0 ? 0 : sum;
    }
  }
  std::vector<T> first_dy, first_a;
  for (const InstructionSet set : instruction_sets()) {
    Matrix<T> dy = before, a(kRows, gates);
    std::vector<GateColumn<T>> columns;
    for (int t = 0; t < gates; ++t) {
      columns.push_back(
          {g.view().cols_from(t, 1), dv.view().cols_from(t * H, H), a.view().cols_from(t, 1)});
    }
    mix_rows_backward<T>(set, columns, y.view(), goes_on, masked, dy.view());
    EXPECT_LT(distance(dy.values, dy_expected.values), tolerance);
    EXPECT_LT(distance(a.values, a_expected.values), tolerance);
    if (first_dy.empty()) {
      first_dy = dy.values;
      first_a = a.values;
    }
    EXPECT_EQ(dy.values, first_dy);
    EXPECT_EQ(a.values, first_a);
    for (int t = 0; t < gates; ++t) {
      EXPECT_EQ(a(0, t), math::gate_slope(y.view().row(0), dv.view().row(0) + t * H, H));
    }
  }
}

TEST(MixtureKernel, MixesAsPlainLoopsDo) {
  for (int H = 1; H <= 140; ++H) {
    for (const int experts : {1, 4, kMixedAtOnce}) {
      for (int gates = 1; gates <= kGatesAtOnce; ++gates) {
        check_mix<float>(H, experts, gates, H % 2 == 0, 1e-6);
        check_mix<double>(H, experts, gates, H % 2 == 1, 1e-14);
      }
    }
  }
}

TEST(MixtureKernel, TakesSlopesApartAsPlainLoopsDo) {
  for (const int H : {1, 4, 7, 8, 15, 16, 17, 31, 32, 40, 64, 72, 129}) {
    for (int gates = 1; gates <= kGatesAtOnce; ++gates) {
      for (const bool goes_on : {false, true}) {
        for (const bool masked : {false, true}) {
          check_backward<float>(H, gates, goes_on, masked, 1e-5);
          check_backward<double>(H, gates, goes_on, masked, 1e-13);
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
