// Matrix multiply-accumulate of a warpgroup (sm_90a): d[64][N] = a[64][32 bytes] . b[N][32
// bytes]^T, with both operands in shared memory and fp32 accumulators in registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

// Operand tile of rows of Bytes (32, 64 or 128), swizzled by as much as TMA writes it: groups of 8
// rows follow each other, and the tile starts on a multiple of 8 Bytes. units: shared address / 16
// of any 32 bytes of the tile's first row.
template <int Bytes = 128>
__device__ std::uint64_t wgmma_operand(std::uint32_t units) {
  static_assert(Bytes == 32 || Bytes == 64 || Bytes == 128);
  constexpr std::uint64_t kSwizzle = std::uint64_t{Bytes == 128 ? 1 : Bytes == 64 ? 2 : 3} << 62;
  constexpr std::uint64_t kGroupStride = std::uint64_t{Bytes * 8 / 16} << 32;
  return kSwizzle | kGroupStride | units;
}

// Shows what this thread stored in shared memory to wgmma and TMA.
__device__ inline void async_proxy_fence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Orders what this thread did with accumulators before the products that follow.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int Pending>
__device__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// d = a . b^T + (Accumulate ? d : 0). Thread t of the warpgroup holds of rows 16 (t / 32) + t % 32
// / 4 and 8 further on, for every 8 columns j, columns 8 j + 2 (t % 4) + {0, 1}: d[4 j + {0, 1}]
// and d[4 j + {2, 3}].
template <class Operand, int N, bool Accumulate>
__device__ void wgmma(float (&d)[N / 2], std::uint64_t a, std::uint64_t b);

// Names of ten operands of an instruction, and eight accumulators bound to them.
#define FLASH_KMEANS_TEN(t) \
  "%" #t "0,%" #t "1,%" #t "2,%" #t "3,%" #t "4,%" #t "5,%" #t "6,%" #t "7,%" #t "8,%" #t "9,"
#define FLASH_KMEANS_FIRST_TEN "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,"
#define FLASH_KMEANS_FIRST_30 FLASH_KMEANS_FIRST_TEN FLASH_KMEANS_TEN(1) FLASH_KMEANS_TEN(2)
#define FLASH_KMEANS_FIRST_60 \
  FLASH_KMEANS_FIRST_30 FLASH_KMEANS_TEN(3) FLASH_KMEANS_TEN(4) FLASH_KMEANS_TEN(5)
#define FLASH_KMEANS_FIRST_90 \
  FLASH_KMEANS_FIRST_60 FLASH_KMEANS_TEN(6) FLASH_KMEANS_TEN(7) FLASH_KMEANS_TEN(8)
#define FLASH_KMEANS_FIRST_120 \
  FLASH_KMEANS_FIRST_90 FLASH_KMEANS_TEN(9) FLASH_KMEANS_TEN(10) FLASH_KMEANS_TEN(11)
#define FLASH_KMEANS_BIND_8(bound, i)                                                            \
  bound(d[(i) + 0]), bound(d[(i) + 1]), bound(d[(i) + 2]), bound(d[(i) + 3]), bound(d[(i) + 4]), \
      bound(d[(i) + 5]), bound(d[(i) + 6]), bound(d[(i) + 7])
#define FLASH_KMEANS_BIND_32(bound, i)                                \
  FLASH_KMEANS_BIND_8(bound, i), FLASH_KMEANS_BIND_8(bound, (i) + 8), \
      FLASH_KMEANS_BIND_8(bound, (i) + 16), FLASH_KMEANS_BIND_8(bound, (i) + 24)

#define FLASH_KMEANS_WGMMA(type, flag, shape, tail, names, a_name, b_name, ...)           \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" shape ".f32." type "." type " {" names \
               "}, " a_name ", " b_name ", " flag ", 1, 1" tail ";"                       \
               : __VA_ARGS__                                                              \
               : "l"(a), "l"(b))

#define FLASH_KMEANS_WGMMA_TYPE(Operand, type, k, tail, Accumulate, flag, bound)                   \
  template <>                                                                                      \
  __device__ inline void wgmma<Operand, 64, Accumulate>(float(&d)[32], std::uint64_t a,            \
                                                        std::uint64_t b) {                         \
    FLASH_KMEANS_WGMMA(type, flag, "64" k, tail, FLASH_KMEANS_FIRST_30 "%30,%31", "%32", "%33",    \
                       FLASH_KMEANS_BIND_32(bound, 0));                                            \
  }                                                                                                \
  template <>                                                                                      \
  __device__ inline void wgmma<Operand, 128, Accumulate>(float(&d)[64], std::uint64_t a,           \
                                                         std::uint64_t b) {                        \
    FLASH_KMEANS_WGMMA(type, flag, "128" k, tail, FLASH_KMEANS_FIRST_60 "%60,%61,%62,%63", "%64",  \
                       "%65", FLASH_KMEANS_BIND_32(bound, 0), FLASH_KMEANS_BIND_32(bound, 32));    \
  }                                                                                                \
  template <>                                                                                      \
  __device__ inline void wgmma<Operand, 192, Accumulate>(float(&d)[96], std::uint64_t a,           \
                                                         std::uint64_t b) {                        \
    FLASH_KMEANS_WGMMA(type, flag, "192" k, tail, FLASH_KMEANS_FIRST_90 "%90,%91,%92,%93,%94,%95", \
                       "%96", "%97", FLASH_KMEANS_BIND_32(bound, 0),                               \
                       FLASH_KMEANS_BIND_32(bound, 32), FLASH_KMEANS_BIND_32(bound, 64));          \
  }                                                                                                \
  template <>                                                                                      \
  __device__ inline void wgmma<Operand, 256, Accumulate>(float(&d)[128], std::uint64_t a,          \
                                                         std::uint64_t b) {                        \
    FLASH_KMEANS_WGMMA(type, flag, "256" k, tail,                                                  \
                       FLASH_KMEANS_FIRST_120 "%120,%121,%122,%123,%124,%125,%126,%127", "%128",   \
                       "%129", FLASH_KMEANS_BIND_32(bound, 0), FLASH_KMEANS_BIND_32(bound, 32),    \
                       FLASH_KMEANS_BIND_32(bound, 64), FLASH_KMEANS_BIND_32(bound, 96));          \
  }

#define FLASH_KMEANS_WGMMA_BOTH(Operand, type, k, tail)             \
  FLASH_KMEANS_WGMMA_TYPE(Operand, type, k, tail, false, "0", "=f") \
  FLASH_KMEANS_WGMMA_TYPE(Operand, type, k, tail, true, "1", "+f")

FLASH_KMEANS_WGMMA_BOTH(__half, "f16", "k16", ", 0, 0")
FLASH_KMEANS_WGMMA_BOTH(__nv_bfloat16, "bf16", "k16", ", 0, 0")
FLASH_KMEANS_WGMMA_BOTH(float, "tf32", "k8", "")

#undef FLASH_KMEANS_WGMMA_BOTH
#undef FLASH_KMEANS_WGMMA_TYPE
#undef FLASH_KMEANS_WGMMA
#undef FLASH_KMEANS_BIND_32
#undef FLASH_KMEANS_BIND_8
#undef FLASH_KMEANS_FIRST_120
#undef FLASH_KMEANS_FIRST_90
#undef FLASH_KMEANS_FIRST_60
#undef FLASH_KMEANS_FIRST_30
#undef FLASH_KMEANS_FIRST_TEN
#undef FLASH_KMEANS_TEN

// Registers of this warpgroup's threads, a multiple of 8. What all warpgroups hold together must
// fit what the launch gave the block.
template <int Registers>
__device__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
