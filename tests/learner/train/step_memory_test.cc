// A step of the dense part takes no memory: forward, backward, the sum of chunks, and the
// optimiser.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "learner/device/devices.h"
#include "learner/device/threads.h"
#include "learner/model/model.h"
#include "learner/train/dense_optimizer.h"
#include "tests/support/numeric.h"

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};
}  // namespace

// Of the whole test program; those of arrays lead here, those of alignment are not used. The one of
// no exceptions (std::stable_sort's) would lead here, too, but a sanitizer has its own, whose
// memory the delete below may not free. None is inlined: the compiler would see memory of one end
// in another, and warn.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  if (counting.load(std::memory_order_relaxed)) ++allocations;
  return std::malloc(size > 0 ? size : 1);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const memory = ::operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace millrace {
namespace {

TEST(StepMemory, AStepOfTheDensePartTakesNone) {
  constexpr int kRows = 100, kInputs = 30, kTasks = 2;
  const Model<float> model(kInputs, 0, kTasks, {});
  const auto cpu = open_device<float>("cpu");
  const auto work = model.workspace(*cpu, kRows);
  std::vector<Buffer<float>> gradients;
  std::vector<float*> chunks;
  for (int c = 0; c < 2; ++c) {
    gradients.push_back(allocate_host<float>(model.parameter_count()));
    chunks.push_back(gradients.back().get());
  }
  const auto weights = allocate_host<float>(model.parameter_count());
  model.initialise(1, {weights.get(), static_cast<std::size_t>(model.parameter_count())});
  DenseUpdater<float> updater({}, model.parameter_count());
  Threads threads(1);
  const Matrix<float> x(kRows, kInputs, 1), dz(kRows, kTasks, 2);
  Matrix<float> z(kRows, kTasks), dx(kRows, kInputs);
  const auto step = [&] {
    for (float* chunk : chunks) {
      model.forward(weights.get(), x, *work, z);
      model.backward(weights.get(), x, *work, dz, chunk, false, dx);
    }
    EXPECT_TRUE(updater.sum(chunks, threads));
    updater.step(weights.get(), chunks[0], 1, threads);
  };
  step();  // a thread's memory for packing is taken by its first product

  allocations = 0;
  counting = true;
  step();
  counting = false;

  EXPECT_EQ(allocations, 0);
  counting = true;
  ::operator delete(::operator new(1));
  counting = false;
  EXPECT_EQ(allocations, 1) << "the count itself";
}

}  // namespace
}  // namespace millrace
