// Copies points into the form that the sm90 kernel reads: whole rows of 32 bytes, in pieces where a
// type is split.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "packing.cuh"
#include "pieces.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// `lanes` lanes a row.
template <class T, class Operand, int Pieces>
FLASH_KMEANS_KERNEL void __launch_bounds__(kPackThreads)
    pack_kernel(pack_params<T, Operand> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kPackThreads;
  std::int64_t const first = std::int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  int const lane = static_cast<int>(first % p.lanes);
  for (std::int64_t row = first / p.lanes; row < p.rows; row += threads / p.lanes) {
    std::int64_t const b = row / p.n, i = row - b * p.n;
    pack_row<T, Operand, Pieces>(p, b, i, i, lane);
  }
}

template <class T, class Operand>
struct pack_pairs_params {
  device_matrix<T const> x;  // [b][n][d]
  Operand* to;               // [b][n][ld], zero behind the pairs; ld a multiple of kPackVector
  std::int64_t n;
  std::int32_t ld, d;
  std::int32_t rows;         // of a group, or fewer: points of one problem
  std::uint32_t of_problem;  // groups
  std::uint32_t groups;      // of all problems
};

inline constexpr int kPackBytes = 16 * 1024;  // of a group, at most

// The same for pairs of pieces as features: those of one pair next to each other. A block packs a
// group of rows in shared memory.
template <class T, class Operand, int Pieces>
FLASH_KMEANS_KERNEL void __launch_bounds__(kPackThreads)
    pack_pairs_kernel(pack_pairs_params<T, Operand> const p) {
  constexpr int V = kPackVector<Operand>;
  using unit = pack<Operand, V>;
  __shared__ unit packed[kPackBytes / sizeof(unit)];
  for (int i = threadIdx.x; i < p.rows * p.ld / V; i += kPackThreads) packed[i] = unit{};
  for (std::uint32_t group = blockIdx.x; group < p.groups; group += gridDim.x) {
    std::uint32_t const b = group / p.of_problem;
    std::int64_t const first = std::int64_t{group - b * p.of_problem} * p.rows;
    auto const count = static_cast<std::uint32_t>(min(p.n - first, std::int64_t{p.rows}));
    T const* const from = p.x.problem(b) + first * p.x.ld;
    auto const d = static_cast<std::uint32_t>(p.d), ld = static_cast<std::uint32_t>(p.ld);
    __syncthreads();  // what was there has been read
#pragma unroll 4
    for (std::uint32_t i = threadIdx.x; i < count * d; i += kPackThreads) {
      std::uint32_t const row = i / d, feature = i - row * d;
      Operand parts[Pieces];
      split<Operand, Pieces>(to_be_split(from[row * p.x.ld + feature]), parts, 1);
      Operand* const to = reinterpret_cast<Operand*>(packed) + row * ld + feature;
      for_piece_pairs<Pieces>([&](int pair, int of, int) { to[pair * d] = parts[of]; });
    }
    __syncthreads();
    auto* const to = reinterpret_cast<unit*>(p.to + (b * p.n + first) * p.ld);
#pragma unroll 4
    for (std::uint32_t i = threadIdx.x; i < count * ld / V; i += kPackThreads) to[i] = packed[i];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
