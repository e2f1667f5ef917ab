#include "learner/device/bf16_product.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "learner/base/check.h"
#include "learner/device/memory.h"
#include "learner/device/panel_kernel.h"

namespace millrace::gemm {
namespace {

/// Two neighbours along the depth, the even one in the lower half.
using Pair = std::uint32_t;
using Job = kernel::Column<float, Pair>;
constexpr Pair kHigh = 0xffff0000U;

/// What AVX512_BF16 does, in floats, where a product of two such numbers is exact.
struct AddPairs {
  template <class B, class Sum>
  MILLRACE_INLINE static void run(Pair a, const B& b, Sum& sum) {
    const B high = b & kHigh, low = b << 16;
    Sum factors;
    std::memcpy(&factors, &high, sizeof factors);
    sum += std::bit_cast<float>(a & kHigh) * factors;
    std::memcpy(&factors, &low, sizeof factors);
    sum += std::bit_cast<float>(a << 16) * factors;
  }
};

template <int R, int V>
void columns_emulated(const Job& job) {
  kernel::columns<8, R, V, AddPairs>(job);
}

/// Columns of 1, 2, … `widest` registers of `lanes` floats.
struct Kernels {
  int lanes, widest;
  std::array<void (*)(const Job&), 4> columns;
  void (*half)(const Job&);  ///< Of a register half as wide, for what is left of a row; or null.
};
constexpr Kernels kEmulated{
    8, 2, {columns_emulated<8, 1>, columns_emulated<4, 2>, nullptr, nullptr}, nullptr};

#if defined(__x86_64__)
#define MILLRACE_AVX512_BF16 [[gnu::target("arch=x86-64-v4,avx512bf16,prefer-vector-width=512")]]
/// The compiler's own function would have to be called where AVX512_BF16 is known to be there, and
/// this one is inlined into such functions only.
struct AddPairsByProcessor {
  template <class B, class Sum>
  MILLRACE_INLINE static void run(Pair a, const B& b, Sum& sum) {
    const B factors = B{} + a;
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(factors), "v"(b));
  }
};
template <int R, int V>
MILLRACE_AVX512_BF16 void columns_by_processor(const Job& job) {
  kernel::columns<16, R, V, AddPairsByProcessor>(job);
}
MILLRACE_AVX512_BF16 void half_by_processor(const Job& job) {
  kernel::columns<8, 12, 1, AddPairsByProcessor>(job);
}
constexpr Kernels kProcessor{16,
                             4,
                             {columns_by_processor<12, 1>, columns_by_processor<12, 2>,
                              columns_by_processor<8, 3>, columns_by_processor<6, 4>},
                             half_by_processor};
#endif

const Kernels& kernels(Bf16Unit unit) {
#if defined(__x86_64__)
  if (unit == Bf16Unit::kProcessor) return kProcessor;
#endif
  return kEmulated;
}

/// The bits of numbers, which become those whose upper half is the nearest bfloat16. A NaN stays
/// one.
template <class Bits>
MILLRACE_INLINE void round_all(Bits& x) {
  const Bits nearest = x + (0x7fffU + ((x >> 16) & 1U));
  x = (x & 0x7fffffffU) > 0x7f800000U ? (x | 0x400000U) : nearest;
}

MILLRACE_INLINE Pair pair_of(float even, float odd) {
  auto low = std::bit_cast<std::uint32_t>(even), high = std::bit_cast<std::uint32_t>(odd);
  round_all(low);
  round_all(high);
  return low >> 16 | (high & kHigh);
}

/// Makes pairs of L values and of L others.
template <int L>
struct RoundByIntegers {
  static constexpr int kLanes = L;
  MILLRACE_INLINE static void pair(const Vec<float, L>& even, const Vec<float, L>& odd,
                                   Vec<Pair, L>& pairs) {
    Vec<Pair, L> low, high;
    std::memcpy(&low, &even, sizeof low);
    std::memcpy(&high, &odd, sizeof high);
    round_all(low);
    round_all(high);
    pairs = low >> 16 | (high & kHigh);
  }
  /// Of neighbours: those of `first`, and then those of `second`.
  MILLRACE_INLINE static void pair_neighbours(const Vec<float, L>& first,
                                              const Vec<float, L>& second, Vec<Pair, L>& pairs) {
    Vec<Pair, L / 2> half[2];
    for (int i = 0; i < 2; ++i) {
      Vec<Pair, L> bits;
      std::memcpy(&bits, i == 0 ? &first : &second, sizeof bits);
      round_all(bits);
      Vec<std::uint64_t, L / 2> both;
      std::memcpy(&both, &bits, sizeof both);
      both = ((both >> 16) & 0xffffU) | ((both >> 32) & std::uint64_t{kHigh});
      half[i] = __builtin_convertvector(both, Vec<Pair, L / 2>);
    }
    std::memcpy(&pairs, half, sizeof pairs);
  }
};

#if defined(__x86_64__)
/// The same by AVX512_BF16, to which denormal numbers are 0.
struct RoundByProcessor {
  static constexpr int kLanes = 16;
  using Halves = Vec<std::uint16_t, 32>;
  MILLRACE_INLINE static void round(const Vec<float, 16>& low, const Vec<float, 16>& high,
                                    Halves& both) {
    asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(both) : "v"(high), "v"(low));
  }
  template <int... lane>
  MILLRACE_INLINE static void interleave(Halves& x, std::integer_sequence<int, lane...>) {
    x = __builtin_shufflevector(x, x, (lane / 2 + lane % 2 * 16)...);
  }
  MILLRACE_INLINE static void pair(const Vec<float, 16>& even, const Vec<float, 16>& odd,
                                   Vec<Pair, 16>& pairs) {
    Halves both;
    round(even, odd, both);
    interleave(both, std::make_integer_sequence<int, 32>{});
    std::memcpy(&pairs, &both, sizeof pairs);
  }
  MILLRACE_INLINE static void pair_neighbours(const Vec<float, 16>& first,
                                              const Vec<float, 16>& second, Vec<Pair, 16>& pairs) {
    Halves both;
    round(first, second, both);
    std::memcpy(&pairs, &both, sizeof pairs);
  }
};
#endif

/// Two rows that become pairs; `odd` null: one row and nothing.
struct RowPair {
  const float *even, *odd;
  int cols;
  long ahead;             ///< What stands so many values on is fetched meanwhile.
  float* sums = nullptr;  ///< The columns h < `summed` of both rows are added to these.
  int summed = 0;
};

/// Pair c goes to the column c % W of panel c / W, of which each is `panel` after the one before.
template <class Round>
MILLRACE_INLINE void pair_rows(const RowPair& rows, int W, long panel, Pair* to) {
  constexpr int L = Round::kLanes;
  for (int first = 0; first < rows.cols; first += W, to += panel) {
    const int end = std::min(W, rows.cols - first);
    const float* const even = rows.even + first;
    const float* const odd = rows.odd == nullptr ? nullptr : rows.odd + first;
    float* const sums = rows.sums + (rows.sums == nullptr ? 0 : first);
    const int summed = std::clamp(rows.summed - first, 0, end);
    int c = 0;
    for (; odd != nullptr && c + L <= end; c += L) {
      Vec<float, L> low, high;
      __builtin_prefetch(even + c + rows.ahead);
      __builtin_prefetch(odd + c + rows.ahead);
      load(even + c, low);
      load(odd + c, high);
      if (c + L <= summed) {
        Vec<float, L> sum;
        load(sums + c, sum);
        sum = sum + low + high;
        store(sum, sums + c);
      } else {
        for (int h = c; h < summed; ++h) sums[h] = sums[h] + even[h] + odd[h];
      }
      Vec<Pair, L> pairs;
      Round::pair(low, high, pairs);
      store(pairs, to + c);
    }
    for (; c < end; ++c) {
      if (c < summed) sums[c] = odd == nullptr ? sums[c] + even[c] : sums[c] + even[c] + odd[c];
      to[c] = pair_of(even[c], odd == nullptr ? 0 : odd[c]);
    }
  }
}

/// Pairs of neighbours in a row of `count` values.
template <class Round>
MILLRACE_INLINE void pair_neighbours(const float* from, int count, Pair* to) {
  constexpr int L = Round::kLanes;
  int k = 0;
  for (; k + 2 * L <= count; k += 2 * L) {
    Vec<float, L> first, second;
    load(from + k, first);
    load(from + k + L, second);
    Vec<Pair, L> pairs;
    Round::pair_neighbours(first, second, pairs);
    store(pairs, to + k / 2);
  }
  for (; k < count; k += 2) to[k / 2] = pair_of(from[k], k + 1 < count ? from[k + 1] : 0);
}

/// The functions that are compiled for one instruction set each.
struct Packing {
  void (*rows)(const RowPair&, int W, long panel, Pair* to);
  void (*neighbours)(const float*, int, Pair*);
};
void rows_avx2(const RowPair& rows, int W, long panel, Pair* to) {
  pair_rows<RoundByIntegers<8>>(rows, W, panel, to);
}
void neighbours_avx2(const float* from, int count, Pair* to) {
  pair_neighbours<RoundByIntegers<8>>(from, count, to);
}
#if defined(__x86_64__)
MILLRACE_AVX512 void rows_avx512(const RowPair& rows, int W, long panel, Pair* to) {
  pair_rows<RoundByIntegers<16>>(rows, W, panel, to);
}
MILLRACE_AVX512 void neighbours_avx512(const float* from, int count, Pair* to) {
  pair_neighbours<RoundByIntegers<16>>(from, count, to);
}
MILLRACE_AVX512_BF16 void rows_by_processor(const RowPair& rows, int W, long panel, Pair* to) {
  pair_rows<RoundByProcessor>(rows, W, panel, to);
}
MILLRACE_AVX512_BF16 void neighbours_by_processor(const float* from, int count, Pair* to) {
  pair_neighbours<RoundByProcessor>(from, count, to);
}
#endif
Packing packing(Bf16Unit unit) {
#if defined(__x86_64__)
  if (unit == Bf16Unit::kProcessor) return {rows_by_processor, neighbours_by_processor};
  if (best_instruction_set() == InstructionSet::kAvx512) return {rows_avx512, neighbours_avx512};
#endif
  return {rows_avx2, neighbours_avx2};
}

Bf16Unit best_unit() {
  static const Bf16Unit best = bf16_units().back();
  return best;
}

/// Memory of this thread that only grows. One of these for each purpose.
template <class T, int kPurpose>
T* scratch(long count) {
  thread_local Buffer<T> memory = allocate_host<T>(0);
  thread_local long size = 0;
  if (size < count) {
    memory = allocate_host<T>(count);
    size = count;
  }
  return memory.get();
}

/// Pairs of rows and columns of b that are packed together: rows are read in long runs, and a panel
/// of them stays in the nearer caches while all rows of a pass by.
constexpr int kDepth = 256;
constexpr int kGroup = 512;

/// The rounded a.
struct Left {
  const Pair* data;
  long down, across;
  Left from(int pair) const { return {data + pair * across, down, across}; }
};

/// A group of columns over one block of the depth, from the first of each on.
struct Group {
  const Kernels& with;
  Left a;
  Strided<float> b;
  const Pair* b_pairs;  ///< Null: not kept.
  int values;           ///< Rows of b, two a pair.
  bool add;
  const Epilogue<float>& epilogue;  ///< Empty where the sum is not complete yet.
  View<float> c;
  int first;            ///< Of its columns among all that the epilogue knows.
  RowSums<float> sums;  ///< Of these columns, begun.

  void multiply(const Packing& pack) const {
    const int W = with.lanes * with.widest, pairs = (values + 1) / 2;
    Pair* const panels = scratch<Pair, 2>(long{kDepth} * kGroup);
    // Of the last panel not all columns may be c's.
    if (c.cols % W != 0) {
      std::fill_n(panels + long{pairs} * (c.cols / W * W), long{pairs} * W, Pair{0});
    }
    for (int p = 0; p < pairs; ++p) {
      if (b_pairs != nullptr) {
        copy(b_pairs + p * b.down, W, long{pairs} * W, panels + long{p} * W);
        continue;
      }
      const float* const even = b.data + 2L * p * b.down;
      const float* const odd = 2 * p + 1 < values ? even + b.down : nullptr;
      pack.rows({even, odd, c.cols, 4 * b.down, sums.data, sums.count}, W, long{pairs} * W,
                panels + long{p} * W);
    }
    for (int h = 0; h < c.cols; h += W) call(panels + long{pairs} * h, pairs, h);
  }

  /// One row of pairs to the panels.
  void copy(const Pair* from, int W, long panel, Pair* to) const {
    for (int h = 0; h < c.cols; h += W, to += panel) {
      __builtin_prefetch(from + h + 4 * b.down);
      __builtin_prefetch(from + h + 4 * b.down + 16);
      __builtin_prefetch(from + h + 4 * b.down + 32);
      __builtin_prefetch(from + h + 4 * b.down + 48);
      std::memcpy(to, from + h, static_cast<std::size_t>(std::min(W, c.cols - h)) * sizeof(Pair));
    }
  }

  void call(const Pair* panel, int pairs, int h) const {
    const int W = with.lanes * with.widest, cols = std::min(W, c.cols - h);
    Job job{.a = a.data,
            .a_down = a.down,
            .a_across = a.across,
            .b = panel,
            .b_down = W,
            .depth = pairs,
            .add = add};
    kernel::take_columns(epilogue, first, c, h, cols, job);
    const bool half = with.half != nullptr && cols <= with.lanes / 2;
    (half ? with.half : with.columns[static_cast<std::size_t>((cols - 1) / with.lanes)])(job);
  }
};

}  // namespace

std::vector<Bf16Unit> bf16_units() {
  std::vector<Bf16Unit> units{Bf16Unit::kEmulated};
#if defined(__x86_64__)
  if (best_instruction_set() == InstructionSet::kAvx512 && __builtin_cpu_supports("avx512bf16")) {
    units.push_back(Bf16Unit::kProcessor);
  }
#endif
  return units;
}

void bf16_product(Bf16Unit unit, int K, Strided<float> a, Strided<float> b, bool add,
                  const Epilogue<float>& epilogue, View<float> c, const Pair* b_pairs,
                  const RowSums<float>& sums) {
  MILLRACE_CHECK((a.across == 1 || a.down == 1) && (b.across == 1 || b.down == 1));
  MILLRACE_CHECK(b_pairs == nullptr || b.across == 1);
  const Kernels& with = kernels(unit);
  MILLRACE_CHECK(b_pairs == nullptr || sums.count == 0);
  const Packing pack = packing(unit);
  const int M = c.rows, N = c.cols, pairs = (K + 1) / 2;
  if (b.across != 1) {
    float* const rows = scratch<float, 0>(long{K} * N);
    transpose(View<const float>(b.data, N, K, b.across), View<float>(rows, K, N));
    b = {rows, N, 1};
  }
  // a by rows of pairs, or by pairs of rows; rows an odd number of cache lines long.
  const bool by_rows = a.across == 1;
  const long stride = (long{by_rows ? pairs : M} + 15) / 16 * 16 | 16;
  Pair* const left = scratch<Pair, 1>((by_rows ? M : pairs) * stride);
  for (int m = 0; by_rows && m < M; ++m) pack.neighbours(a.data + m * a.down, K, left + m * stride);
  for (int p = 0; !by_rows && p < pairs; ++p) {
    const float* const even = a.data + 2L * p * a.across;
    pack.rows({even, 2 * p + 1 < K ? even + a.across : nullptr, M, 4 * a.across}, M, 0,
              left + p * stride);
  }
  const Left rows{left, by_rows ? stride : 1, by_rows ? 1 : stride};
  const int blocks = std::max(1, (pairs + kDepth - 1) / kDepth);
  const int depth = std::max(1, (pairs + blocks - 1) / blocks);
  const Epilogue<float> none;
  if (!sums.add) std::fill_n(sums.data, sums.count, 0.0F);
  for (int col = 0; col < N; col += kGroup) {
    const int cols = std::min(kGroup, N - col), summed = std::clamp(sums.count - col, 0, cols);
    for (int first = 0; first < pairs || first == 0; first += depth) {
      const int count = std::min(depth, pairs - first);
      Group{.with = with,
            .a = rows.from(first),
            .b = {b.data + 2L * first * b.down + col, b.down, 1},
            .b_pairs = b_pairs == nullptr ? nullptr : b_pairs + first * b.down + col,
            .values = std::min(2 * count, K - 2 * first),
            .add = add || first > 0,
            .epilogue = first + count == pairs ? epilogue : none,
            .c = c.cols_from(col, cols),
            .first = col,
            .sums = {summed > 0 ? sums.data + col : nullptr, summed, true}}
          .multiply(pack);
    }
  }
}

void bf16_product(int K, Strided<float> a, Strided<float> b, bool add,
                  const Epilogue<float>& epilogue, View<float> c, const Pair* b_pairs,
                  const RowSums<float>& sums) {
  bf16_product(best_unit(), K, a, b, add, epilogue, c, b_pairs, sums);
}

void bf16_pairs(View<const float> b, Pair* pairs) {
  const Packing pack = packing(best_unit());
  for (int k = 0; k < b.rows; k += 2) {
    pack.rows({b.row(k), k + 1 < b.rows ? b.row(k + 1) : nullptr, b.cols, 4 * b.stride}, b.cols, 0,
              pairs + k / 2 * b.stride);
  }
}

}  // namespace millrace::gemm
