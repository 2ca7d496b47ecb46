// Rows of points and centroids as a screen multiplies them: half, in the frame of their problem.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Neighbouring features of a row.
struct screened {
  static constexpr int kVector = 8;

  float values[kVector];  // in the frame
  pack<__half, kVector> halves;

  // Features [first, first + kVector) of a row of d, zeros behind it. mean: of all features, on 16
  // bytes.
  template <class T>
  __device__ screened(T const* row, std::int64_t first, std::int32_t d, bool aligned,
                      float const* mean, float scale) {
    constexpr int kRead = 16 / sizeof(T);
#pragma unroll
    for (int i = 0; i < kVector; i += kRead) {
      auto const read = load_padded<kRead>(row, first + i, d, aligned);
      auto const middle = *reinterpret_cast<pack<float, kRead> const*>(mean + first + i);
#pragma unroll
      for (int v = 0; v < kRead; ++v) {
        // Beyond d both are zero.
        values[i + v] =
            static_cast<float>(read.values[v] - static_cast<T>(middle.values[v])) * scale;
        halves.values[i + v] = narrow<__half>(values[i + v]);
      }
    }
  }

  // Adds squares of what rounding took, and of what it left.
  __device__ void add_squares(float& lost, float& left) const {
#pragma unroll
    for (int v = 0; v < kVector; ++v) {
      float const half = __half2float(halves.values[v]);
      lost += (values[v] - half) * (values[v] - half);
      left += half * half;
    }
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
