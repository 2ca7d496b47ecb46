// The inline namespace of the CPU backend: its name carries the library version and the instruction
// set that the compiler targets.
//
// The compiler options of a translation unit (-mavx512f, -march=native) choose the width of the
// vectors in products.hpp and the instructions of every other function. Templates and inline
// functions are weak symbols: of equal names the linker keeps one, from whichever object it reads
// first. A unit compiled for a CPU without AVX-512 would then execute the AVX-512 code of another
// unit of the program and end with an illegal instruction. With the instruction set in the name,
// each unit calls its own code.
//
// Inside the namespace:
//   - every function, class and variable of the backend and of the headers that it shares with the
//     GPU verbs (math.hpp, seeding.hpp, checks.hpp, calls.hpp, ...), whether or not it reads a
//     constant of the instruction set: compilers copy structs with AVX-512 instructions and build
//     the text of an error with AVX instructions, so no function is independent of the options;
//   - the allocator of the backend's containers (vector.hpp), and with it the members of
//     std::vector: at -O3 std::vector<double>::assign is an AVX-512 loop.
// Outside:
//   - types that users pass from one unit to another: all of types.hpp, and host::execution. Their
//     members copy a few numbers, and programs instantiate them in code of their own as well;
//   - templates of the standard library over types of the standard library, such as operator+ of
//     std::string. They hold no loops over data, but the compiler may encode their moves for AVX.
//
// Options that choose no instructions (-O, -ffast-math) are not part of the name.
#pragma once

#include "../../version.hpp"

// FLASH_KMEANS_ABI_HOST_IF(macro, name): name where the compiler defines macro as 1, else nothing.
#define FLASH_KMEANS_ABI_HOST_IS_1 ~,
#define FLASH_KMEANS_ABI_HOST_SECOND_(first, second, ...) second
#define FLASH_KMEANS_ABI_HOST_SECOND(arguments) FLASH_KMEANS_ABI_HOST_SECOND_ arguments
#define FLASH_KMEANS_ABI_HOST_IF_(value, name) \
  FLASH_KMEANS_ABI_HOST_SECOND((FLASH_KMEANS_ABI_HOST_IS_##value name, , ))
#define FLASH_KMEANS_ABI_HOST_IF(macro, name) FLASH_KMEANS_ABI_HOST_IF_(macro, name)

// Joins five parts into one name. A part may be empty.
#define FLASH_KMEANS_ABI_HOST_JOIN_(a, b, c, d, e) a##b##c##d##e
#define FLASH_KMEANS_ABI_HOST_JOIN(a, b, c, d, e) FLASH_KMEANS_ABI_HOST_JOIN_(a, b, c, d, e)

// The widest vector instructions. Of one architecture, each set includes those named after it.
#if defined(__AVX512F__)
#define FLASH_KMEANS_ABI_HOST_VECTORS avx512f
#elif defined(__AVX2__)
#define FLASH_KMEANS_ABI_HOST_VECTORS avx2
#elif defined(__AVX__)
#define FLASH_KMEANS_ABI_HOST_VECTORS avx
#elif defined(__SSE4_2__)
#define FLASH_KMEANS_ABI_HOST_VECTORS sse4_2
#elif defined(__SSE4_1__)
#define FLASH_KMEANS_ABI_HOST_VECTORS sse4_1
#elif defined(__SSSE3__)
#define FLASH_KMEANS_ABI_HOST_VECTORS ssse3
#elif defined(__SSE3__)
#define FLASH_KMEANS_ABI_HOST_VECTORS sse3
#elif defined(__SSE2__) || defined(_M_X64)
#define FLASH_KMEANS_ABI_HOST_VECTORS sse2
#elif defined(__ARM_FEATURE_SVE2)
#define FLASH_KMEANS_ABI_HOST_VECTORS sve2
#elif defined(__ARM_FEATURE_SVE)
#define FLASH_KMEANS_ABI_HOST_VECTORS sve
#elif defined(__ARM_NEON)
#define FLASH_KMEANS_ABI_HOST_VECTORS neon
#else
#define FLASH_KMEANS_ABI_HOST_VECTORS any
#endif

// Extensions that are independent of these and that compilers use without intrinsics. Extensions
// that only intrinsics reach (AES, SHA, ...) are left out: the backend has no intrinsics.
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define FLASH_KMEANS_ABI_HOST_SCALARS                                                             \
  FLASH_KMEANS_ABI_HOST_JOIN(                                                                     \
      FLASH_KMEANS_ABI_HOST_IF(__POPCNT__, _popcnt), FLASH_KMEANS_ABI_HOST_IF(__LZCNT__, _lzcnt), \
      FLASH_KMEANS_ABI_HOST_IF(__BMI__, _bmi), FLASH_KMEANS_ABI_HOST_IF(__BMI2__, _bmi2),         \
      FLASH_KMEANS_ABI_HOST_JOIN(FLASH_KMEANS_ABI_HOST_IF(__MOVBE__, _movbe),                     \
                                 FLASH_KMEANS_ABI_HOST_IF(__TBM__, _tbm),                         \
                                 FLASH_KMEANS_ABI_HOST_IF(__APX_F__, _apx), , ))
#define FLASH_KMEANS_ABI_HOST_FLOATS                                                      \
  FLASH_KMEANS_ABI_HOST_JOIN(                                                             \
      FLASH_KMEANS_ABI_HOST_IF(__FMA__, _fma), FLASH_KMEANS_ABI_HOST_IF(__F16C__, _f16c), \
      FLASH_KMEANS_ABI_HOST_IF(__FMA4__, _fma4), FLASH_KMEANS_ABI_HOST_IF(__XOP__, _xop), \
      FLASH_KMEANS_ABI_HOST_IF(__AVX512FP16__, _fp16))
#define FLASH_KMEANS_ABI_HOST_AVX512                                                            \
  FLASH_KMEANS_ABI_HOST_JOIN(                                                                   \
      FLASH_KMEANS_ABI_HOST_IF(__AVX512VL__, _vl), FLASH_KMEANS_ABI_HOST_IF(__AVX512BW__, _bw), \
      FLASH_KMEANS_ABI_HOST_IF(__AVX512DQ__, _dq), FLASH_KMEANS_ABI_HOST_IF(__AVX512CD__, _cd), \
      FLASH_KMEANS_ABI_HOST_JOIN(FLASH_KMEANS_ABI_HOST_IF(__AVX512IFMA__, _ifma),               \
                                 FLASH_KMEANS_ABI_HOST_IF(__AVX512VBMI__, _vbmi),               \
                                 FLASH_KMEANS_ABI_HOST_IF(__AVX512VBMI2__, _vbmi2),             \
                                 FLASH_KMEANS_ABI_HOST_IF(__AVX512BITALG__, _bitalg),           \
                                 FLASH_KMEANS_ABI_HOST_IF(__AVX512VPOPCNTDQ__, _vpopcnt)))
#define FLASH_KMEANS_ABI_HOST_INTEGERS                                             \
  FLASH_KMEANS_ABI_HOST_JOIN(FLASH_KMEANS_ABI_HOST_IF(__AVX512VNNI__, _vnni),      \
                             FLASH_KMEANS_ABI_HOST_IF(__AVXVNNI__, _avxvnni),      \
                             FLASH_KMEANS_ABI_HOST_IF(__AVXVNNIINT8__, _vnniint8), \
                             FLASH_KMEANS_ABI_HOST_IF(__GFNI__, _gfni),            \
                             FLASH_KMEANS_ABI_HOST_IF(__AVX10_2__, _avx10_2))
#else
// The number of bits of an SVE vector where the compiler fixes it.
#if defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS > 0
#define FLASH_KMEANS_ABI_HOST_SCALARS FLASH_KMEANS_ABI_HOST_JOIN(_, __ARM_FEATURE_SVE_BITS, , , )
#else
#define FLASH_KMEANS_ABI_HOST_SCALARS
#endif
#define FLASH_KMEANS_ABI_HOST_FLOATS                     \
  FLASH_KMEANS_ABI_HOST_JOIN(                            \
      FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_FMA, _fma), \
      FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC, _fp16), , , )
#define FLASH_KMEANS_ABI_HOST_AVX512
#define FLASH_KMEANS_ABI_HOST_INTEGERS                                                   \
  FLASH_KMEANS_ABI_HOST_JOIN(FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_DOTPROD, _dotprod),  \
                             FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_MATMUL_INT8, _i8mm), \
                             FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_ATOMICS, _lse),      \
                             FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_MOPS, _mops),        \
                             FLASH_KMEANS_ABI_HOST_IF(__ARM_FEATURE_CSSC, _cssc))
#endif

// For instance v0_1_0_sse2, v0_1_0_avx2_popcnt_lzcnt_bmi_bmi2_movbe_fma_f16c or v0_1_0_neon_fma. On
// other architectures than x86 and Arm it carries the version only. cmake/docs.cmake removes lines
// with "namespace FLASH_KMEANS_ABI..." before Doxygen reads them.
#define FLASH_KMEANS_ABI_HOST_VERSION_(major, minor, patch) v##major##_##minor##_##patch##_
#define FLASH_KMEANS_ABI_HOST_VERSION(major, minor, patch) \
  FLASH_KMEANS_ABI_HOST_VERSION_(major, minor, patch)
#define FLASH_KMEANS_ABI_HOST                                                                     \
  FLASH_KMEANS_ABI_HOST_JOIN(                                                                     \
      FLASH_KMEANS_ABI_HOST_VERSION(FLASH_KMEANS_VERSION_MAJOR, FLASH_KMEANS_VERSION_MINOR,       \
                                    FLASH_KMEANS_VERSION_PATCH),                                  \
      FLASH_KMEANS_ABI_HOST_VECTORS, FLASH_KMEANS_ABI_HOST_SCALARS, FLASH_KMEANS_ABI_HOST_FLOATS, \
      FLASH_KMEANS_ABI_HOST_JOIN(FLASH_KMEANS_ABI_HOST_AVX512, FLASH_KMEANS_ABI_HOST_INTEGERS, ,  \
                                 , ))
