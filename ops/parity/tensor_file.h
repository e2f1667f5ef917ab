#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"

namespace millrace {

/// A named array of numbers, row by row.
struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Arrays and texts in one file of the safetensors format, which any language reads in a few lines:
///
///   u64, little-endian: length of the header; the header, a JSON object; the arrays' bytes
///   header: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …,
///            "__metadata__": {"name": "text", …}}
///
/// Offsets count from the end of the header. Written are F32 alone; read are F32, and F64, which
/// is rounded.
struct TensorFile {
  std::vector<Tensor> tensors;
  std::map<std::string, std::string> texts;

  /// Null where there is none of that name.
  const Tensor* find(std::string_view name) const;
};

/// Error: names the file and what is wrong with it.
Result<TensorFile> read_tensor_file(const std::string& path);
/// Error: names the file that cannot be written.
Result<Ok> write_tensor_file(const std::string& path, const TensorFile& file);

}  // namespace millrace
