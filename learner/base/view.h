#pragma once

#include "learner/base/check.h"
#include "learner/base/host_device.h"

namespace millrace {

/// A matrix that somebody else owns: `rows` rows of `cols` values, `stride` values apart.
template <class T>
struct View {
  T* data = nullptr;
  int rows = 0;
  int cols = 0;
  long stride = 0;

  View() = default;
  MILLRACE_HD View(T* data_, int rows_, int cols_) : View(data_, rows_, cols_, cols_) {}
  MILLRACE_HD View(T* data_, int rows_, int cols_, long stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  /// A view that may write can be read.
  MILLRACE_HD operator View<const T>() const { return {data, rows, cols, stride}; }

  MILLRACE_HD T* row(int r) const { return data + r * stride; }
  MILLRACE_HD T& operator()(int r, int c) const { return data[r * stride + c]; }
  /// Rows [first, first + count).
  View rows_from(int first, int count) const { return {row(first), count, cols, stride}; }
  /// Columns [first, first + count).
  View cols_from(int first, int count) const { return {data + first, rows, count, stride}; }
  bool has_shape(int r, int c) const { return rows == r && cols == c; }
};

}  // namespace millrace
