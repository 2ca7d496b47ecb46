// Operands of the kernels on the FMA units, on their way through shared memory.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSimtThreads = 256;

template <class T>
inline constexpr tile simt_tile_v = std::is_same_v<T, double> ? kSimtTileDouble : kSimtTile;

// A thread owns runs of 4 neighbours, 64 apart: 16-byte reads without bank conflicts. Its number
// `of` among 16, its i-th row or column.
__device__ constexpr int simt_own(int i, int of) { return (i / 4) * 64 + of * 4 + i % 4; }

// Rows x features of one operand, on the way from global to shared memory.
template <class T, class Acc, int Rows, int Features>
struct simt_operand {
  static constexpr int kRowsAtOnce = kSimtThreads / Features;
  static constexpr int kValues = Rows / kRowsAtOnce;
  // Keeps rows aligned to 16 bytes and spreads the banks.
  static constexpr int kPitch = Rows + 16 / sizeof(Acc);

  Acc values[kValues];

  // What this thread reads first of a matrix.
  static __device__ T const* first_of(T const* base, std::int64_t ld) {
    return base + threadIdx.x / Features * ld + threadIdx.x % Features;
  }

  // at: first_of the tile. Rows from `rows` on and features from `features` on are zero.
  __device__ void read(T const* at, std::int64_t ld, std::int32_t rows, std::int32_t features) {
    auto const column = static_cast<int>(threadIdx.x % Features);
    rows -= static_cast<int>(threadIdx.x / Features);
    // An address that goes along takes fewer instructions, but on sm_80 registers that are not there.
    constexpr bool kGoesAlong = FLASH_KMEANS_HAS_CLUSTERS;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      T const* const from = kGoesAlong ? at : at + i * kRowsAtOnce * ld;
      values[i] = i * kRowsAtOnce < rows && column < features ? widen<Acc>(*from) : Acc{0};
      if (kGoesAlong) at += kRowsAtOnce * ld;
    }
  }

  __device__ void store(Acc (&shared)[Features][kPitch]) const {
    int const column = threadIdx.x % Features, row = threadIdx.x / Features;
#pragma unroll
    for (int i = 0; i < kValues; ++i) shared[column][row + i * kRowsAtOnce] = values[i];
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
