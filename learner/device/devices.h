#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/fields.h"
#include "learner/device/backend.h"

namespace millrace {

/// The devices that this build and this machine can compute with, the fastest last; "cpu" is always
/// among them.
std::vector<std::string> devices();

/// What a step's matrix products are computed in; weights and all else are floats either way.
enum class Products { kF32, kBf16 };
template <>
struct Choices<Products> {
  static constexpr std::array<Choice<Products>, 2> all{
      {{"f32", Products::kF32}, {"bf16", Products::kBf16}}};
};

/// A backend on `device`, one of `devices()`. Each thread opens its own. Of doubles all products
/// are.
template <class T>
std::unique_ptr<Backend<T>> open_device(std::string_view device, Products products = {});

/// Whether this processor multiplies bf16 faster than f32. It can anyway, with the same bits.
bool has_fast_bf16();

}  // namespace millrace
