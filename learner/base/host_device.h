#pragma once

/// Marks a function that both the CPU loops and the CUDA kernels call.
#ifdef __CUDACC__
#define MILLRACE_HD __host__ __device__
#else
#define MILLRACE_HD
#endif
