// Decides which points a screen leaves open, and packs them for the exact kernel.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../device_matrix.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "packing.cuh"
#include "screen_state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T, class Operand>
struct screen_gather_params {
  pack_params<T, Operand> pack;
  screen_state state;
  std::int32_t const* labels;  // [b][n], what the screen found
  fit_status const* status;    // [b] or null: problems that have converged have no open points
  std::int64_t parts;          // blocks of a problem
};

// Blocks take as many points as they have threads.
template <class T, class Operand, int Pieces>
FLASH_KMEANS_KERNEL void __launch_bounds__(kPackThreads)
    screen_gather_kernel(screen_gather_params<T, Operand> const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::int64_t const b = blockIdx.x / p.parts, part = blockIdx.x - b * p.parts;
  screen_problem* const problem = p.state.problems + b;
  // Points that are all open are gathered once, or taken where they lie.
  std::uint32_t const all = problem->all;
  std::int64_t const n = p.state.n, capacity = p.state.capacity;
  if (all == 2 || (all == 1 && capacity < n)) return;
  // Where all are open they are gathered now even if the problem has converged: later assignments
  // read them.
  if (all == 0 && has_converged(p.status, b)) return;
  __shared__ std::int32_t points[kPackThreads];
  __shared__ std::uint32_t begin;
  std::int64_t const first = part * kPackThreads, mine = first + threadIdx.x;
  bool const open =
      mine < n && (all == 1 || !p.state.decides(b, mine, max(p.labels[b * n + mine], 0)));
  std::uint32_t count;
  std::uint32_t const before = block_exclusive_sum(open ? 1 : 0, count);
  if (count == 0) return;
  if (open) points[before] = static_cast<std::int32_t>(mine);
  if (threadIdx.x == 0) {
    begin = all == 1 ? static_cast<std::uint32_t>(first) : atomicAdd(&problem->open, count);
  }
  __syncthreads();
  if (all == 0 && threadIdx.x < count) {
    p.state.open[b * n + begin + threadIdx.x] = points[threadIdx.x];
  }
  for (std::uint32_t i = threadIdx.x / p.pack.lanes; i < count; i += kPackThreads / p.pack.lanes) {
    std::int64_t const row = std::int64_t{begin} + i;
    if (row >= capacity) break;
    pack_row<T, Operand, Pieces>(p.pack, b, points[i], row,
                                 static_cast<int>(threadIdx.x) % p.pack.lanes);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
