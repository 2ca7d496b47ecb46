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
  static constexpr int kPitch = Rows + 4;  // keeps 16-byte alignment and spreads the banks

  Acc values[kValues];

  // Rows from `rows` on and features from `features` on are zero.
  __device__ void read(T const* base, std::int64_t ld, std::int64_t rows, std::int32_t features) {
    int const column = threadIdx.x % Features, row = threadIdx.x / Features;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      int const r = row + i * kRowsAtOnce;
      values[i] = r < rows && column < features ? widen<Acc>(base[r * ld + column]) : Acc{0};
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
