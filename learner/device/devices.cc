#include "learner/device/devices.h"

#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"

namespace millrace {

std::vector<std::string> devices() { return {"cpu"}; }

template <class T>
std::unique_ptr<Backend<T>> open_device(std::string_view device) {
  MILLRACE_CHECK(device == "cpu");
  return std::make_unique<CpuBackend<T>>();
}

template std::unique_ptr<Backend<float>> open_device(std::string_view);
template std::unique_ptr<Backend<double>> open_device(std::string_view);

}  // namespace millrace
