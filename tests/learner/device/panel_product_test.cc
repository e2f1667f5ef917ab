// Our own product against plain loops, by every instruction set that this processor has, with
// everything that rides along: any mixture of adding, bias, ReLU and mask that ends inside or
// outside of a tile; and an element's bits depend neither on what stands beside it nor on the
// instruction set.
#include "learner/device/panel_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/support/numeric.h"

namespace millrace::gemm {
namespace {

struct Options {
  bool add;
  int biased, relu;
  bool mask;
};

template <class T>
Matrix<double> oracle(const Matrix<T>& a, const Matrix<T>& b, const Matrix<T>& bias,
                      const Matrix<T>& mask, const Matrix<T>& before, Options options) {
  Matrix<double> c(a.rows, b.cols);
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.cols; ++n) {
      double sum = options.add ? static_cast<double>(before(m, n)) : 0;
      for (int k = 0; k < a.cols; ++k) {
        sum += static_cast<double>(a(m, k)) * static_cast<double>(b(k, n));
      }
      if (n < options.biased) sum += static_cast<double>(bias(0, n));
      if (n < options.relu) sum = std::fmax(sum, 0);
      if (options.mask && mask(m, n) <= 0) sum = 0;
      c(m, n) = sum;
    }
  }
  return c;
}

template <class T>
Matrix<T> transpose(const Matrix<T>& from) {
  Matrix<T> to(from.cols, from.rows);
  for (int r = 0; r < from.rows; ++r) {
    for (int c = 0; c < from.cols; ++c) to(c, r) = from(r, c);
  }
  return to;
}

template <class T>
void check(int M, int N, int K, Options options, double tolerance) {
  SCOPED_TRACE(std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K) + " add " +
               std::to_string(options.add) + " bias " + std::to_string(options.biased) + " relu " +
               std::to_string(options.relu) + " mask " + std::to_string(options.mask));
  const Matrix<T> a(M, K, 1), b(K, N, 2), bias(1, N, 3), mask(M, N, 4), before(M, N, 5);
  const Matrix<T> a_by_columns = transpose(a), b_by_columns = transpose(b);
  const Epilogue<T> epilogue{.bias = bias.values.data(),
                             .biased = options.biased,
                             .relu = options.relu,
                             .mask = options.mask ? mask.view() : View<const T>{}};
  const Matrix<double> expected = oracle(a, b, bias, mask, before, options);
  const auto product = [&](InstructionSet set, Strided<T> left, Strided<T> right) {
    Matrix<T> c = before;
    panel_product(set, K, left, right, options.add, epilogue, c.view());
    return c.values;
  };
  const auto nn = product(InstructionSet::kAvx2, plain(a.view()), plain(b.view()));
  EXPECT_LT(distance(nn, expected.values), tolerance);
  // The strides decide how b is packed, not what is summed; the instruction set how many at once.
  for (const InstructionSet set : instruction_sets()) {
    EXPECT_EQ(product(set, plain(a.view()), plain(b.view())), nn);
    EXPECT_EQ(product(set, plain(a.view()), transposed(b_by_columns.view())), nn);
    EXPECT_EQ(product(set, transposed(a_by_columns.view()), plain(b.view())), nn);
  }
}

TEST(PanelProduct, EqualsPlainLoopsWithWhateverRidesAlong) {
  for (const int M : {1, 5, 6, 7, 25}) {
    for (const int N : {1, 7, 8, 16, 17, 40, 264}) {
      for (const int K : {1, 9, 16, 300}) {
        for (const bool add : {false, true}) {
          check<float>(M, N, K, {add, 0, 0, false}, 1e-5);
          check<float>(M, N, K, {add, N, N, false}, 1e-5);
          check<float>(M, N, K, {add, N, 0, false}, 1e-5);
          check<float>(M, N, K, {add, N - N / 3, N / 2, false}, 1e-5);
          check<float>(M, N, K, {add, 0, N, false}, 1e-5);
          check<float>(M, N, K, {add, 0, 0, true}, 1e-5);
          check<double>(M, N, K, {add, N - N / 3, N / 2, true}, 1e-13);
          check<double>(M, N, K, {add, N, N, false}, 1e-13);
        }
      }
    }
  }
}

// Every remainder of rows and of columns that a tile of either width leaves.
TEST(PanelProduct, EqualsPlainLoopsAtEveryRemainder) {
  for (int M = 1; M <= 25; ++M) {
    for (const int N : {3, 16, 33, 64}) {
      check<float>(M, N, 5, {false, N, N, false}, 1e-5);
      check<float>(M, N, 5, {true, 0, 0, true}, 1e-5);
    }
  }
  for (int N = 1; N <= 140; ++N) {
    for (const int M : {1, 7}) {
      check<float>(M, N, 9, {true, N, N, false}, 1e-5);
      check<double>(M, N, 3, {false, 0, 0, true}, 1e-13);
    }
  }
  for (const int K : {1, 63, 64, 65, 128, 255, 256, 257, 513}) {
    check<float>(13, 70, K, {true, 70, 64, false}, 1e-5);
    check<float>(13, 70, K, {false, 0, 0, true}, 1e-5);
  }
}

// The sums of b's rows: of all columns or the first ones, over whatever was there before, and of
// the same bits as a loop down each column. The product beside them is as without them.
template <class T>
void check_sums(int M, int N, int K, int count, bool add) {
  SCOPED_TRACE(std::to_string(M) + "x" + std::to_string(N) + "x" + std::to_string(K) + " sums of " +
               std::to_string(count) + " add " + std::to_string(add));
  const Matrix<T> a(M, K, 1), b(K, N, 2), before(1, N, 3);
  const Matrix<T> a_by_columns = transpose(a), b_by_columns = transpose(b);
  Matrix<T> expected = before;
  for (int n = 0; n < count; ++n) {
    T sum = add ? before(0, n) : T(0);
    for (int k = 0; k < K; ++k) sum += b(k, n);
    expected(0, n) = sum;
  }
  for (const InstructionSet set : instruction_sets()) {
    for (const bool by_columns : {false, true}) {
      Matrix<T> sums = before, c(M, N), alone(M, N);
      const Strided<T> left = transposed(a_by_columns.view()),
                       right = by_columns ? transposed(b_by_columns.view()) : plain(b.view());
      panel_product(set, K, left, right, false, {}, alone.view());
      panel_product(set, K, left, right, false, {}, c.view(),
                    {.data = sums.view().data, .count = count, .add = add});
      EXPECT_EQ(sums.values, expected.values);
      EXPECT_EQ(c.values, alone.values);
    }
  }
}

TEST(PanelProduct, SumsTheRowsOfB) {
  for (int M = 1; M <= 13; ++M) {
    for (const int N : {1, 7, 8, 16, 17, 40, 64, 70, 264}) {
      for (const int K : {1, 63, 64, 65, 300}) {
        for (const bool add : {false, true}) {
          check_sums<float>(M, N, K, N, add);
          check_sums<float>(M, N, K, N - N / 3, add);
          check_sums<double>(M, N, K, N / 2, add);
        }
      }
    }
  }
}

TEST(PanelProduct, BitsDoNotDependOnTheNeighbours) {
  constexpr int M = 23, N = 70, K = 300;
  const Matrix<float> a(M, K, 1), b(K, N, 2);
  Matrix<float> whole(M, N);
  panel_product<float>(K, plain(a.view()), plain(b.view()), false, {}, whole);
  for (int m = 0; m < M; ++m) {
    Matrix<float> row(1, N);
    panel_product<float>(K, plain(a.view().rows_from(m, 1)), plain(b.view()), false, {}, row);
    for (int n = 0; n < N; ++n) EXPECT_EQ(row(0, n), whole(m, n));
  }
  for (int n = 0; n < N; ++n) {
    Matrix<float> column(M, 1);
    panel_product<float>(K, plain(a.view()), plain(b.view().cols_from(n, 1)), false, {}, column);
    for (int m = 0; m < M; ++m) EXPECT_EQ(column(m, 0), whole(m, n));
  }
}

TEST(PanelProduct, NothingHidesANan) {
  Matrix<float> a(7, 3, 1), b(3, 20, 2), bias(1, 20, 3), c(7, 20);
  a(4, 1) = NAN;
  panel_product<float>(3, plain(View<const float>(a)), plain(View<const float>(b)), false,
                       {.bias = bias.values.data(), .biased = 20, .relu = 20}, c);
  for (int n = 0; n < 20; ++n) {
    EXPECT_TRUE(std::isnan(c(4, n)));
    EXPECT_FALSE(std::isnan(c(3, n)));
  }
}

}  // namespace
}  // namespace millrace::gemm
