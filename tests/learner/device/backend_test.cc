// Every device of this machine against the same plain loops in double precision. A new operation
// gets its oracle and its case here before it gets a fast implementation anywhere.
#include "learner/device/backend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>

#include "learner/device/devices.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

/// B rows, D inputs, H units of each of E experts, T tasks.
struct Size {
  int B, D, H, E, T;
};
using Case = std::tuple<std::string, Size>;

/// A matrix's copy on the device, with a row stride of its own.
struct OnDevice {
  explicit OnDevice(Backend<float>& backend_, const Matrix<float>& matrix)
      : backend(backend_),
        stride(matrix.cols + 3),
        memory(backend.allocate(long{matrix.rows} * stride)),
        view(memory.get(), matrix.rows, matrix.cols, stride) {
    backend.upload(matrix, view);
  }
  std::vector<float> values() const {
    Matrix<float> host(view.rows, view.cols);
    backend.download(view, host);
    return host.values;
  }
  Backend<float>& backend;
  long stride;
  Buffer<float> memory;
  View<float> view;
};

class BackendTest : public ::testing::TestWithParam<Case> {
 protected:
  const Size size = std::get<1>(GetParam());
  std::unique_ptr<Backend<float>> backend = open_device<float>(std::get<0>(GetParam()));
};

/// c(m, n) = Σ_k a(m, k) b(k, n), the sums in double.
template <class A, class B>
void multiply(A a, B b, int K, View<double> c) {
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.cols; ++n) {
      double sum = 0;
      for (int k = 0; k < K; ++k) sum += double{a(m, k)} * double{b(k, n)};
      c(m, n) = sum;
    }
  }
}

double tolerance(int K) { return 2e-7 * std::sqrt(K) + 1e-6; }

// Experts side by side in columns, their weights one below the other: as the model stores them.
TEST_P(BackendTest, Dense) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> x(B, E * D, 1), w(E * D, H, 2), b(1, H, 3);
  Matrix<double> oracle(B, E * H);
  const int biased = H - H / 3, relu = H / 2;
  for (int e = 0; e < E; ++e) {
    multiply([&](int m, int k) { return x(m, e * D + k); },
             [&](int k, int n) { return w(e * D + k, n); }, D, oracle.view().cols_from(e * H, H));
    for (int r = 0; r < B; ++r) {
      for (int h = 0; h < H; ++h) {
        double& y = oracle(r, e * H + h);
        if (h < biased) y += double{b(0, h)};
        if (h < relu) y = std::fmax(y, 0);
      }
    }
  }
  const OnDevice x_on(*backend, x), w_on(*backend, w), b_on(*backend, b),
      y_on(*backend, Matrix<float>(B, E * H, 4));

  backend->dense(
      side_by_side(x_on.view, E), Stack<float>(w_on.view.rows_from(0, D), E, D * w_on.stride),
      Stack<float>(b_on.view.cols_from(0, biased), E, 0), relu, side_by_side(y_on.view, E));

  EXPECT_LT(distance(y_on.values(), oracle.values), tolerance(D));
}

TEST_P(BackendTest, DenseWeightsBackward) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> x(B, E * D, 1), dy(B, E * H, 2), before(E * D, H, 3), before_b(E, H, 4);
  for (const bool add : {false, true}) {
    Matrix<double> dw(E * D, H), db(E, H);
    for (int e = 0; e < E; ++e) {
      multiply([&](int m, int k) { return x(k, e * D + m); },
               [&](int k, int n) { return dy(k, e * H + n); }, B, dw.view().rows_from(e * D, D));
      for (int r = 0; r < B; ++r) {
        for (int h = 0; h < H; ++h) db(e, h) += double{dy(r, e * H + h)};
      }
    }
    for (std::size_t i = 0; add && i < dw.values.size(); ++i) {
      dw.values[i] += double{before.values[i]};
    }
    for (std::size_t i = 0; add && i < db.values.size(); ++i) {
      db.values[i] += double{before_b.values[i]};
    }
    const OnDevice x_on(*backend, x), dy_on(*backend, dy), dw_on(*backend, before),
        db_on(*backend, before_b);

    backend->dense_weights_backward(side_by_side(x_on.view, E), side_by_side(dy_on.view, E), add,
                                    Stack<float>(dw_on.view.rows_from(0, D), E, D * dw_on.stride),
                                    Stack<float>(db_on.view.rows_from(0, 1), E, db_on.stride));

    EXPECT_LT(distance(dw_on.values(), dw.values), tolerance(B)) << add;
    EXPECT_LT(distance(db_on.values(), db.values), tolerance(B)) << add;
  }
}

TEST_P(BackendTest, DenseInputsBackward) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> dy(B, E * H, 1), w(E * D, H, 2), x(B, E * D, 3);
  for (const bool masked : {false, true}) {
    Matrix<double> dx(B, E * D);
    for (int e = 0; e < E; ++e) {
      multiply([&](int m, int k) { return dy(m, e * H + k); },
               [&](int k, int n) { return w(e * D + n, k); }, H, dx.view().cols_from(e * D, D));
    }
    for (std::size_t i = 0; masked && i < dx.values.size(); ++i) {
      if (x.values[i] <= 0) dx.values[i] = 0;
    }
    const OnDevice dy_on(*backend, dy), w_on(*backend, w), x_on(*backend, x),
        dx_on(*backend, Matrix<float>(B, E * D, 4));

    const Stack<float> weights(w_on.view.rows_from(0, D), E, D * w_on.stride);
    const auto relu = masked ? side_by_side(x_on.view, E) : Stack<float>{};

    backend->dense_inputs_backward(side_by_side(dy_on.view, E), weights, {}, relu,
                                   side_by_side(dx_on.view, E));

    EXPECT_LT(distance(dx_on.values(), dx.values), tolerance(H)) << masked;

    // The same from transposes that are kept.
    const OnDevice wt_on(*backend, Matrix<float>(E * H, D, 5)),
        again_on(*backend, Matrix<float>(B, E * D, 6));
    const Stack<float> transposed(wt_on.view.rows_from(0, H), E, H * wt_on.stride);
    backend->transpose(weights, transposed);
    backend->dense_inputs_backward(side_by_side(dy_on.view, E), weights, transposed, relu,
                                   side_by_side(again_on.view, E));

    EXPECT_EQ(again_on.values(), dx_on.values()) << masked;
  }
}

// Two layers that read one input: a stack of step 0.
TEST_P(BackendTest, DenseOfASharedInput) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> x(B, D, 1), w(E * D, H, 2);
  Matrix<double> oracle(B, E * H);
  for (int e = 0; e < E; ++e) {
    multiply(
        x, [&](int k, int n) { return w(e * D + k, n); }, D, oracle.view().cols_from(e * H, H));
  }
  const OnDevice x_on(*backend, x), w_on(*backend, w), y_on(*backend, Matrix<float>(B, E * H));

  backend->dense(Stack<float>(x_on.view, E, 0),
                 Stack<float>(w_on.view.rows_from(0, D), E, D * w_on.stride), {}, 0,
                 side_by_side(y_on.view, E));

  EXPECT_LT(distance(y_on.values(), oracle.values), tolerance(D));
}

Matrix<double> softmax_oracle(const Matrix<float>& u, int T, int E) {
  Matrix<double> g(u.rows, T * E);
  for (int r = 0; r < u.rows; ++r) {
    for (int t = 0; t < T; ++t) {
      double sum = 0;
      for (int e = 0; e < E; ++e) sum += std::exp(double{u(r, t * E + e)});
      for (int e = 0; e < E; ++e) g(r, t * E + e) = std::exp(double{u(r, t * E + e)}) / sum;
    }
  }
  return g;
}

TEST_P(BackendTest, Softmax) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> u(B, T * E, 1);
  const OnDevice u_on(*backend, u), g_on(*backend, Matrix<float>(B, T * E));
  backend->softmax(side_by_side(u_on.view, T), side_by_side(g_on.view, T));
  EXPECT_LT(distance(g_on.values(), softmax_oracle(u, T, E).values), 1e-6);
}

// Far logits, one that is −∞ (a gate's dropped expert), and one that is no number.
TEST_P(BackendTest, SoftmaxOfExtremes) {
  const float infinity = std::numeric_limits<float>::infinity();
  Matrix<float> u(5, 3);
  u.values = {-infinity, 0, 1, 200, -200, 199, -1e30F, -90, -1, 0, NAN, 1, 5, 5, -80};
  const OnDevice u_on(*backend, u), g_on(*backend, Matrix<float>(5, 3));
  backend->softmax(Stack<const float>(View<const float>(u_on.view)), Stack<float>(g_on.view));
  const auto g = g_on.values();
  const auto at = [&](int r, int c) { return g[static_cast<std::size_t>(r * 3 + c)]; };
  EXPECT_EQ(at(0, 0), 0);
  EXPECT_NEAR(at(0, 2), 1 / (1 + std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(at(1, 0), 1 / (1 + std::exp(-1.0)), 1e-6);
  EXPECT_EQ(at(1, 1), 0);
  EXPECT_NEAR(at(2, 2), 1, 1e-6);
  EXPECT_TRUE(std::isnan(at(3, 0)) && std::isnan(at(3, 1)) && std::isnan(at(3, 2)));
  EXPECT_NEAR(at(4, 0), 0.5, 1e-6);
  EXPECT_NEAR(at(4, 2), 0.5 * std::exp(-85.0), 1e-42);
}

TEST_P(BackendTest, Mix) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> g(B, T * E, 1), y(B, E * H, 2);
  Matrix<double> v(B, T * H);
  for (int r = 0; r < B; ++r) {
    for (int t = 0; t < T; ++t) {
      for (int e = 0; e < E; ++e) {
        for (int h = 0; h < H; ++h) {
          v(r, t * H + h) += double{g(r, t * E + e)} * double{y(r, e * H + h)};
        }
      }
    }
  }
  const OnDevice g_on(*backend, g), y_on(*backend, y), v_on(*backend, Matrix<float>(B, T * H, 3));

  Mixture<float> mixture;
  mixture.g = side_by_side(g_on.view, T);
  mixture.y = Stack<const float>(side_by_side(y_on.view, E));
  backend->mix(mixture, side_by_side(v_on.view, T));

  EXPECT_LT(distance(v_on.values(), v.values), 1e-6);
}

TEST_P(BackendTest, MixBackward) {
  const auto [B, D, H, E, T] = size;
  const Matrix<float> u(B, T * E, 1), y(B, E * H, 2), dv(B, T * H, 3);
  const Matrix<double> g = softmax_oracle(u, T, E);
  for (const bool relu : {false, true}) {
    Matrix<double> du(B, T * E), dy(B, E * H);
    for (int r = 0; r < B; ++r) {
      for (int t = 0; t < T; ++t) {
        std::vector<double> a(static_cast<std::size_t>(E));
        double mean = 0;
        for (int e = 0; e < E; ++e) {
          double slope = 0;
          for (int h = 0; h < H; ++h) {
            slope += double{y(r, e * H + h)} * double{dv(r, t * H + h)};
            dy(r, e * H + h) += g(r, t * E + e) * double{dv(r, t * H + h)};
          }
          a[static_cast<std::size_t>(e)] = slope;
          mean += g(r, t * E + e) * slope;
        }
        for (int e = 0; e < E; ++e) {
          du(r, t * E + e) = g(r, t * E + e) * (a[static_cast<std::size_t>(e)] - mean);
        }
      }
    }
    for (std::size_t i = 0; relu && i < dy.values.size(); ++i) {
      if (y.values[i] <= 0) dy.values[i] = 0;
    }
    Matrix<float> g_float(B, T * E);
    for (std::size_t i = 0; i < g.values.size(); ++i) {
      g_float.values[i] = static_cast<float>(g.values[i]);
    }
    const OnDevice g_on(*backend, g_float), y_on(*backend, y), dv_on(*backend, dv),
        du_on(*backend, Matrix<float>(B, T * E, 4)), dy_on(*backend, Matrix<float>(B, E * H, 5));

    // All gates at once, and in two mixtures.
    for (int first = T; first >= 0; first -= (T + 1) / 2) {
      SCOPED_TRACE(first);
      std::vector<MixtureSlopes<float>> mixtures;
      const auto append = [&](int begin, int end) {
        if (begin == end) return;
        const auto of = [&](View<float> all, int width) {
          return side_by_side(all.cols_from(begin * width, (end - begin) * width), end - begin);
        };
        mixtures.push_back({{}, of(dv_on.view, H), of(du_on.view, E)});
        mixtures.back().mixture.g = of(g_on.view, E);
        mixtures.back().mixture.y = Stack<const float>(side_by_side(y_on.view, E));
      };
      append(0, first);
      append(first, T);
      backend->mix_backward(mixtures, relu, false, Stack<float>(side_by_side(dy_on.view, E)));
      EXPECT_LT(distance(du_on.values(), du.values), 1e-5);
      EXPECT_LT(distance(dy_on.values(), dy.values), 1e-6);
    }
  }
}

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const auto& [device, size] = info.param;
  return device + "_B" + std::to_string(size.B) + "_D" + std::to_string(size.D) + "_H" +
         std::to_string(size.H) + "_E" + std::to_string(size.E) + "_T" + std::to_string(size.T);
}

// One, primes, just below, at and above the blocks of the kernels, and what is left to a library.
INSTANTIATE_TEST_SUITE_P(
    Devices, BackendTest,
    ::testing::Combine(::testing::ValuesIn(devices()),
                       ::testing::Values(Size{1, 1, 1, 1, 1}, Size{7, 3, 5, 3, 2},
                                         Size{5, 17, 1, 2, 3}, Size{31, 16, 15, 4, 2},
                                         Size{64, 100, 17, 1, 5}, Size{129, 65, 64, 4, 2},
                                         Size{255, 33, 32, 8, 1}, Size{256, 300, 257, 2, 2},
                                         Size{6, 40, 700, 1, 1}, Size{20, 600, 24, 2, 2})),
    name_of);

}  // namespace
}  // namespace millrace
