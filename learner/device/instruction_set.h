#pragma once

#include <vector>

/// Instruction sets of the processor that inner loops are compiled for, and chosen by at run time.
/// Inner to device/.
namespace millrace {

/// AVX2 is the floor of the build.
enum class InstructionSet { kAvx2, kAvx512 };

/// Those of this processor, the best one last.
std::vector<InstructionSet> instruction_sets();

/// The last of them, found out once.
InstructionSet best_instruction_set();

/// Before a function of x86 whose body is one of vector.h's, inlined: compiled for AVX-512.
#define MILLRACE_AVX512 [[gnu::target("arch=x86-64-v4,prefer-vector-width=512")]]

}  // namespace millrace
