#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "learner/device/backend.h"

namespace millrace {

/// The devices that this build and this machine can compute with, the fastest last; "cpu" is always
/// among them.
std::vector<std::string> devices();

/// A backend on `device`, one of `devices()`. Each thread opens its own.
template <class T>
std::unique_ptr<Backend<T>> open_device(std::string_view device);

}  // namespace millrace
