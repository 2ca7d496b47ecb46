// What every .cuh builds on: toolkit check, what the architecture of this pass can do, names of
// kernels.
#pragma once

#if !defined(__CUDACC__)
#error "flash_kmeans: .cuh headers need nvcc; plain C++ can include types.hpp and host.hpp"
#endif

#include <cuda_runtime_api.h>

#if CUDART_VERSION < 12000
#error "flash_kmeans needs the CUDA Toolkit 12.0 or later"
#endif

#include "../version.hpp"

// What this device pass may use. 0 in host passes: host code asks the image instead (launch.cuh,
// runs_here).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define FLASH_KMEANS_HAS_MMA_SYNC 1
#else
#define FLASH_KMEANS_HAS_MMA_SYNC 0
#endif

// Clusters of blocks, and grids that overlap.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define FLASH_KMEANS_HAS_CLUSTERS 1
#else
#define FLASH_KMEANS_HAS_CLUSTERS 0
#endif

// wgmma and setmaxnreg belong to sm_90a alone: no later architecture has them.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FLASH_KMEANS_HAS_WGMMA 1
#else
#define FLASH_KMEANS_HAS_WGMMA 0
#endif

// All code that reaches a kernel lives in an inline namespace that carries version and list of
// architectures, so that translation units built with different lists can be linked into one
// program: each keeps its own kernels.
#define FLASH_KMEANS_JOIN_1(a) sm_##a
#define FLASH_KMEANS_JOIN_2(a, b) sm_##a##_##b
#define FLASH_KMEANS_JOIN_3(a, b, c) sm_##a##_##b##_##c
#define FLASH_KMEANS_JOIN_4(a, b, c, d) sm_##a##_##b##_##c##_##d
#define FLASH_KMEANS_JOIN_5(a, b, c, d, e) sm_##a##_##b##_##c##_##d##_##e
#define FLASH_KMEANS_JOIN_6(a, b, c, d, e, f) sm_##a##_##b##_##c##_##d##_##e##_##f
#define FLASH_KMEANS_JOIN_7(a, b, c, d, e, f, g) sm_##a##_##b##_##c##_##d##_##e##_##f##_##g
#define FLASH_KMEANS_JOIN_8(a, b, c, d, e, f, g, ...) \
  sm_##a##_##b##_##c##_##d##_##e##_##f##_##g##_more
#define FLASH_KMEANS_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, \
                          _17, _18, _19, _20, _21, _22, _23, _24, _25, _26, _27, _28, _29, _30,  \
                          _31, _32, NAME, ...)                                                   \
  NAME
#define FLASH_KMEANS_JOIN(...)                                                            \
  FLASH_KMEANS_PICK(                                                                      \
      __VA_ARGS__, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8,         \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, \
      FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_8, FLASH_KMEANS_JOIN_7, FLASH_KMEANS_JOIN_6, \
      FLASH_KMEANS_JOIN_5, FLASH_KMEANS_JOIN_4, FLASH_KMEANS_JOIN_3, FLASH_KMEANS_JOIN_2, \
      FLASH_KMEANS_JOIN_1, )                                                              \
  (__VA_ARGS__)
#if defined(__CUDA_ARCH_LIST__)
#define FLASH_KMEANS_ARCHITECTURES FLASH_KMEANS_JOIN(__CUDA_ARCH_LIST__)
#else
#define FLASH_KMEANS_ARCHITECTURES sm_unknown
#endif
#define FLASH_KMEANS_ABI_NAME_(major, minor, patch, list) v##major##_##minor##_##patch##_##list
#define FLASH_KMEANS_ABI_NAME(major, minor, patch, list) \
  FLASH_KMEANS_ABI_NAME_(major, minor, patch, list)
#define FLASH_KMEANS_ABI                                                        \
  FLASH_KMEANS_ABI_NAME(FLASH_KMEANS_VERSION_MAJOR, FLASH_KMEANS_VERSION_MINOR, \
                        FLASH_KMEANS_VERSION_PATCH, FLASH_KMEANS_ARCHITECTURES)

#define FLASH_KMEANS_KERNEL __global__ __attribute__((visibility("hidden")))
