// Copies points of one byte a value into half, which holds each of their values exactly.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "config.cuh"
#include "device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct convert_params {
  device_matrix<T const> x;  // [b][n][d]
  __half* to;                // [b][n][ld], zero from d on; ld a multiple of kConvertStore
  std::int64_t n, ld;
  std::int32_t d;
  std::int64_t rows;   // b * n
  std::int32_t lanes;  // a row, a power of two <= 32
  bool aligned;        // rows of x start on 16 bytes
};

inline constexpr int kConvertThreads = 256;
// Values that a lane reads and writes at once: 16 bytes of each.
inline constexpr int kConvertLoad = 16, kConvertStore = 8;

// `lanes` lanes a row.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kConvertThreads)
    convert_kernel(convert_params<T> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kConvertThreads;
  std::int64_t const first = std::int64_t{blockIdx.x} * kConvertThreads + threadIdx.x;
  std::int64_t const lane = first % p.lanes;
  for (std::int64_t row = first / p.lanes; row < p.rows; row += threads / p.lanes) {
    std::int64_t const b = row / p.n, i = row - b * p.n;
    T const* const from = p.x.problem(b) + i * p.x.ld;
    __half* const to = p.to + row * p.ld;
    for (std::int64_t f = lane * kConvertLoad; f < p.ld; f += p.lanes * kConvertLoad) {
      pack<T, kConvertLoad> const values = load_padded<kConvertLoad>(from, f, p.d, p.aligned);
#pragma unroll
      for (int part = 0; part < kConvertLoad; part += kConvertStore) {
        pack<__half, kConvertStore> converted;
#pragma unroll
        for (int v = 0; v < kConvertStore; ++v) {
          converted.values[v] = static_cast<__half>(values.values[part + v]);
        }
        // The last piece of a row may be half as long.
        if (f + part < p.ld)
          *reinterpret_cast<pack<__half, kConvertStore>*>(to + f + part) = converted;
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
