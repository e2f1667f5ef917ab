#include "learner/device/devices.h"

#include "learner/base/check.h"
#include "learner/device/bf16_product.h"
#include "learner/device/cpu_backend.h"

namespace millrace {

std::vector<std::string> devices() { return {"cpu"}; }

bool has_fast_bf16() { return gemm::bf16_units().back() == gemm::Bf16Unit::kProcessor; }

template <class T>
std::unique_ptr<Backend<T>> open_device(std::string_view device, Products products) {
  MILLRACE_CHECK(device == "cpu");
  return std::make_unique<CpuBackend<T>>(products);
}

template std::unique_ptr<Backend<float>> open_device(std::string_view, Products);
template std::unique_ptr<Backend<double>> open_device(std::string_view, Products);

}  // namespace millrace
