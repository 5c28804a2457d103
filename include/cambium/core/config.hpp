#pragma once
// All macros that depend on compiler or processor.

#if defined(__CUDACC__)
#define CAMBIUM_HD __host__ __device__  ///< callable on host and device under nvcc, plain C++ elsewhere
#define CAMBIUM_UNROLL
/// Unroll the next loop of a thread of a device.
#define CAMBIUM_UNROLL_DEVICE _Pragma("unroll")
#else
#define CAMBIUM_HD
#define CAMBIUM_UNROLL_DEVICE
/// Unroll the next loop: its trip count is a small constant and its arrays live in registers.
#if defined(__clang__)
#define CAMBIUM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CAMBIUM_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

/// Before the body of a lambda: inline it, into code for any instruction set.
#define CAMBIUM_INLINE __attribute__((always_inline))

#if defined(__x86_64__)
#define CAMBIUM_X86 1  ///< AVX2 and AVX-512 variants are compiled and chosen at run time
#else
#define CAMBIUM_X86 0
#endif
