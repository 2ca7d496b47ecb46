// How one row of points is copied into the form that the sm90 kernel reads, in pieces where a type
// is split.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "pieces.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T, class Operand>
struct pack_params {
  device_matrix<T const> x;  // [b][n][d]
  Operand* to;               // [b][pieces][n][ld], zero from d on; ld a multiple of kPackVector
  std::int64_t n, ld;
  std::int32_t d;
  std::int64_t rows;   // b * n
  std::int32_t lanes;  // a row, a power of two <= 32
  bool aligned;        // rows of x start on 16 bytes
};

inline constexpr int kPackThreads = 256;
// Elements that a lane writes at once.
template <class Operand>
inline constexpr int kPackVector = 16 / sizeof(Operand);

// A value that is split: infinity has no pieces; as a NaN it spoils its own point only.
template <class T>
__device__ T to_be_split(T value) {
  return is_finite(value) ? value : value - value;
}

// One lane's part of packing point i of problem b to place `row`. One piece is the point as it is.
template <class T, class Operand, int Pieces>
__device__ __forceinline__ void pack_row(pack_params<T, Operand> const& p, std::int64_t b,
                                         std::int64_t i, std::int64_t row, int lane) {
  constexpr int V = kPackVector<Operand>, kRead = 16 / sizeof(T);
  T const* const from = p.x.problem(b) + i * p.x.ld;
  Operand* const to = p.to + (b * Pieces * p.n + row) * p.ld;
  for (std::int64_t f = std::int64_t{lane} * V; f < p.ld; f += std::int64_t{p.lanes} * V) {
    pack<T, kRead> values[V / kRead];
#pragma unroll
    for (int j = 0; j < V / kRead; ++j) {
      values[j] = load_padded<kRead>(from, f + j * kRead, p.d, p.aligned);
    }
    Operand parts[Pieces * V];
#pragma unroll
    for (int j = 0; j < V; ++j) {
      T const value = values[j / kRead].values[j % kRead];
      if constexpr (Pieces == 1) {
        parts[j] = value;
      } else {
        split<Operand, Pieces>(to_be_split(value), parts + j, V);
      }
    }
#pragma unroll
    for (int piece = 0; piece < Pieces; ++piece) {
      pack<Operand, V> written;
#pragma unroll
      for (int j = 0; j < V; ++j) written.values[j] = parts[piece * V + j];
      *reinterpret_cast<pack<Operand, V>*>(to + piece * p.n * p.ld + f) = written;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
