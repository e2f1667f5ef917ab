// Products of factors rounded to bfloat16 against plain loops over rounded factors, at every
// remainder, and the same bits by the processor's instruction as by floats.
#include "learner/device/bf16_product.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "learner/device/threads.h"
#include "tests/support/numeric.h"

namespace millrace::gemm {
namespace {

/// The nearest number with eight bits of mantissa, to even in the middle.
double nearest(float value) {
  if (value == 0 || !std::isfinite(value)) return value;
  int exponent = 0;
  const double mantissa = std::frexp(double{value}, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8);
}

Matrix<float> transposed_of(const Matrix<float>& from) {
  Matrix<float> to(from.cols, from.rows);
  for (int r = 0; r < from.rows; ++r) {
    for (int c = 0; c < from.cols; ++c) to(c, r) = from(r, c);
  }
  return to;
}

void check(int M, int N, int K, bool add, bool finished) {
  SCOPED_TRACE(std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K) + " add " +
               std::to_string(add) + " finished " + std::to_string(finished));
  const FlushDenormals flush;
  const Matrix<float> a(M, K, 1), b(K, N, 2), bias(1, N, 3), mask(M, N, 4), before(M, N, 5);
  Matrix<double> expected(M, N);
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) {
      double sum = add ? double{before(m, n)} : 0;
      for (int k = 0; k < K; ++k) sum += nearest(a(m, k)) * nearest(b(k, n));
      if (finished) sum = mask(m, n) > 0 ? std::fmax(sum + double{bias(0, n)}, 0) : 0;
      expected(m, n) = sum;
    }
  }
  const Epilogue<float> epilogue =
      finished ? Epilogue<float>{bias.values.data(), N, N, mask.view()} : Epilogue<float>{};
  const Matrix<float> a_by_columns = transposed_of(a), b_by_columns = transposed_of(b);
  std::vector<float> first;
  for (const Bf16Unit unit : bf16_units()) {
    for (const Strided<float> left : {plain(a.view()), transposed(a_by_columns.view())}) {
      for (const Strided<float> right : {plain(b.view()), transposed(b_by_columns.view())}) {
        Matrix<float> c = before;
        bf16_product(unit, K, left, right, add, epilogue, c.view());
        if (first.empty()) first = c.values;
        EXPECT_EQ(c.values, first);
      }
    }
  }
  EXPECT_LT(distance(first, expected.values), 1e-5);
  // Pairs that are kept.
  std::vector<std::uint32_t> pairs(static_cast<std::size_t>(K) * static_cast<std::size_t>(N));
  bf16_pairs(b.view(), pairs.data());
  for (const Bf16Unit unit : bf16_units()) {
    Matrix<float> c = before;
    bf16_product(unit, K, plain(a.view()), plain(b.view()), add, epilogue, c.view(), pairs.data());
    EXPECT_EQ(c.values, first);
  }
}

TEST(Bf16Product, EqualsPlainLoopsOverRoundedFactors) {
  for (const bool add : {false, true}) {
    for (const bool finished : {false, true}) {
      for (int M = 1; M <= 14; ++M) check(M, 33, 19, add, finished);
      for (int N = 1; N <= 70; ++N) check(7, N, 6, add, finished);
      for (int K = 1; K <= 40; ++K) check(5, 17, K, add, finished);
      check(13, 130, 1100, add, finished);
    }
  }
}

// Of b's rows as they are, in the order of a loop down each column; the product stays as it is.
TEST(Bf16Product, SumsTheRowsOfB) {
  const FlushDenormals flush;
  for (const int K : {1, 2, 9, 64, 600}) {
    for (const int N : {1, 15, 16, 33, 70, 530}) {
      for (const int count : {N, N - N / 3, N / 2}) {
        for (const bool add : {false, true}) {
          SCOPED_TRACE(std::to_string(K) + "x" + std::to_string(N) + " sums of " +
                       std::to_string(count) + " add " + std::to_string(add));
          const Matrix<float> a(3, K, 1), b(K, N, 2), before(1, N, 3);
          const Matrix<float> b_by_columns = transposed_of(b);
          Matrix<float> expected = before;
          for (int n = 0; n < count; ++n) {
            float sum = add ? before(0, n) : 0;
            for (int k = 0; k < K; ++k) sum += b(k, n);
            expected(0, n) = sum;
          }
          for (const Bf16Unit unit : bf16_units()) {
            for (const Strided<float> right : {plain(b.view()), transposed(b_by_columns.view())}) {
              Matrix<float> sums = before, c(3, N), alone(3, N);
              bf16_product(unit, K, plain(a.view()), right, false, {}, alone.view());
              bf16_product(unit, K, plain(a.view()), right, false, {}, c.view(), nullptr,
                           {.data = sums.view().data, .count = count, .add = add});
              EXPECT_EQ(sums.values, expected.values);
              EXPECT_EQ(c.values, alone.values);
            }
          }
        }
      }
    }
  }
}

TEST(Bf16Product, WhatIsNotFiniteStaysSo) {
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::bit_cast<float>(0x7fffffffU),
        std::bit_cast<float>(0x7f800001U), std::numeric_limits<float>::max()}) {
    for (const Bf16Unit unit : bf16_units()) {
      const Matrix<float> b(20, 20, 2);
      Matrix<float> a(20, 20, 1), c(20, 20);
      a(3, 17) = value;
      bf16_product(unit, 20, plain(View<const float>(a)), plain(b.view()), false, {}, c.view());
      for (int n = 0; n < 20; ++n)
        EXPECT_FALSE(std::isfinite(c(3, n)) && std::fabs(c(3, n)) < 1e30);
      EXPECT_TRUE(std::isfinite(c(2, 0)));
    }
  }
}

}  // namespace
}  // namespace millrace::gemm
