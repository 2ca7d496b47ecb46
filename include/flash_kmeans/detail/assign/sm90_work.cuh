// What the roles of the sm90 kernel share: its parameters, the places of shared memory, and how the
// work is divided among blocks.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "screen_state.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// The best of a point over the centroids that one block saw; a screen asks for the second, too.
template <bool Screens>
struct sm90_partial {
  float score;
  std::int32_t index;
};
template <>
struct sm90_partial<true> : sm90_partial<false> {
  float second;
};

struct sm90_params {
  CUtensorMap x;     // {d, n, inner, outer}, or {d, n, pieces, b}; boxes of 128 bytes of each point
  CUtensorMap c;     // {d, k, pieces, b}; boxes of 128 bytes of width / cluster centroids
  CUtensorMap bias;  // {16, k_padded, 1, b} of bfloat16; boxes of width rows: -|c|^2/2 as three
                     // pieces that add up to it, then zeros; -inf from k on
  std::int32_t x_inner;      // problems along the third dimension of x
  std::int32_t* labels;      // [b][n]
  std::int32_t none;         // label of a point that is not finite
  fit_status const* status;  // [b] or null: problems that have converged keep their labels
  void* partials;            // sm90_partial [2 * clusters][blocks of a cluster][points of a tile]
  std::uint32_t* counters;  // [clusters][blocks of a cluster][warpgroups that search], zero between
                            // launches
  std::int64_t b, n;
  std::int32_t k;
  std::int32_t k_tiles;            // of one problem
  std::int64_t tiles_per_problem;  // of points, one for each block of a cluster
  bool whole_tiles;                // shares hold whole point tiles only
  sm90_layout layout;
  screen_state screen;  // which this launch is, or whose open points it decides; or null

  template <bool Screens>
  __device__ bool skips(std::int64_t problem) const {
    return has_converged(status, problem) || (Screens && screen.problems[problem].all != 0);
  }
  // Whether problems have as many points as a screen left open. Only types with pieces may.
  template <int Pieces>
  __device__ bool follows_screen() const {
    return Pieces > 1 && screen.problems != nullptr;
  }
  template <int Pieces>
  __device__ std::int64_t points(std::int64_t problem) const {
    return follows_screen<Pieces>() ? screen.taken(problem) : n;
  }
  template <int Pieces>
  __device__ std::int64_t tiles(std::int64_t problem) const {
    if (!follows_screen<Pieces>()) return tiles_per_problem;
    std::int64_t const tile = kSm90Points<Pieces> * layout.cluster;
    return has_converged(status, problem) ? 0 : (points<Pieces>(problem) + tile - 1) / tile;
  }
};

#if FLASH_KMEANS_HAS_WGMMA

// A place in a ring of slots and the parity of the phase that fills it.
struct sm90_ring {
  int slot = 0;
  std::uint32_t parity = 0;

  __device__ void advance(int count, int slots) {
    slot += count;
    if (slot >= slots) {
      slot -= slots;
      parity ^= 1;
    }
  }
};

// Addresses of shared memory and the few numbers that all roles use.
struct sm90_shared {
  std::uint32_t points, stages, ones, barriers;

  __device__ sm90_shared(std::uint32_t base, sm90_layout const& l)
      : points(base),
        stages(points + l.x_slots * l.point_bytes),
        ones(stages + l.c_stages * l.stage_bytes),
        barriers(ones + kSm90OnesBytes) {}

  __device__ std::uint32_t stage_full(int slot) const { return barriers + slot * 16; }
  __device__ std::uint32_t stage_empty(int slot) const { return barriers + slot * 16 + 8; }
  __device__ std::uint32_t points_full(int slot) const {
    return barriers + (kSm90MaxStages + slot) * 16;
  }
  __device__ std::uint32_t points_empty(int slot) const { return points_full(slot) + 8; }
  __device__ std::uint32_t sharers_known() const {
    return barriers + (kSm90MaxStages + kSm90MaxPointSlots) * 16;
  }
};

// The same value in all lanes, told to the compiler: wgmma may not stand on paths that it takes for
// divergent.
__device__ inline std::uint32_t sm90_uniform(std::uint32_t value) {
  return __shfl_sync(0xffffffffu, value, 0);
}

// A block's share of the work, one (problem, point tile, range of centroid tiles) at a time. Every
// role walks it for itself.
struct sm90_work {
  std::int32_t problem, tile, from, left;  // left: units from centroid tile `from` on

  __device__ bool any() const { return left > 0; }
  __device__ std::int32_t to(sm90_params const& p) const {  // from where there is none
    return left < p.k_tiles - from ? from + left : p.k_tiles;
  }
  template <int Pieces, bool Screens>
  __device__ void next(sm90_params const& p) {
    left -= to(p) - from;
    from = 0;
    if (left == 0) return;
    if (++tile == p.tiles<Pieces>(problem)) {
      tile = 0;
      do ++problem;
      while (p.follows_screen<Pieces>() ? p.tiles<Pieces>(problem) == 0
                                        : p.skips<Screens>(problem));
    }
  }
};

// First row of a block's point tile.
template <int Pieces>
__device__ std::uint32_t sm90_row(sm90_params const& p, sm90_work const& work, std::int32_t rank) {
  return static_cast<std::uint32_t>(work.tile * p.layout.cluster + rank) * kSm90Points<Pieces>;
}

// Clusters that share the centroids of a point tile.
struct sm90_sharers {
  std::int32_t first, last;
};

// What the threads of a block tell each other once, behind the barriers.
struct sm90_scalars {
  std::int32_t problem;     // in which this cluster begins
  sm90_sharers sharers[2];  // of its first point tile, and of its last one
  std::uint32_t last[3];    // whether a warpgroup is the last one of a shared tile
};
static_assert(sizeof(sm90_scalars) <= kSm90ScalarBytes);

// Clusters that have a share: no more than there are units, so that none is empty among those that
// merge a tile.
__device__ inline std::int64_t sm90_clusters(sm90_params const& p, std::int64_t units) {
  std::int64_t const clusters = gridDim.x / p.layout.cluster;
  return units < clusters ? units : clusters;
}

// Unit at which the share of a cluster begins.
__device__ inline std::int64_t sm90_begin(sm90_params const& p, std::int64_t units,
                                          std::int64_t cluster) {
  std::int64_t const clusters = sm90_clusters(p, units);
  if (cluster >= clusters) return units;
  if (p.whole_tiles) return units / p.k_tiles * cluster / clusters * p.k_tiles;
  return units * cluster / clusters;
}

struct sm90_share {
  sm90_work work;
  std::int64_t units;  // of all problems that still run
  std::int64_t begin;  // first one of this cluster

  // Of the point tile that the share begins with (i = 0) or ends with (1).
  __device__ sm90_sharers sharers(sm90_params const& p, int i) const {
    std::int32_t const ends_at = (work.from + work.left - 1) % p.k_tiles;
    std::int64_t const tile = i == 0 ? begin - work.from : begin + work.left - 1 - ends_at;
    // Unit u belongs to the last cluster whose share begins at or before it.
    std::int64_t const clusters = sm90_clusters(p, units);
    return {static_cast<std::int32_t>(((tile + 1) * clusters - 1) / units),
            static_cast<std::int32_t>(((tile + p.k_tiles) * clusters - 1) / units)};
  }
};

// The share of a cluster in what a screen left open. All threads of the block call.
template <int Pieces>
__device__ sm90_share sm90_find_open_share(sm90_params const& p) {
  ptx::wait_for_grid_before();  // which says how much that is
  std::int64_t const lane = threadIdx.x % 32;
  auto const tiles = [&](std::int64_t i) { return i < p.b ? p.tiles<Pieces>(i) : 0; };
  std::int64_t all = 0;
  for (std::int64_t i = lane; i < p.b; i += 32) all += tiles(i);
  std::int64_t const units = group_sum(all, 32) * p.k_tiles;
  std::int64_t const cluster = blockIdx.x / p.layout.cluster;
  std::int64_t const begin = sm90_begin(p, units, cluster);
  sm90_work work{};
  work.left = static_cast<std::int32_t>(sm90_begin(p, units, cluster + 1) - begin);
  std::int64_t const tile = begin / p.k_tiles;
  work.from = static_cast<std::int32_t>(begin - tile * p.k_tiles);
  // The problem that holds the tile.
  std::int64_t before = 0;
  for (std::int64_t first = 0; first < p.b; first += 32) {
    std::int64_t const here = tiles(first + lane), through = before + warp_inclusive_sum(here);
    std::uint32_t const behind = __ballot_sync(0xffffffffu, through > tile);
    if (behind != 0) {
      int const at = __ffs(static_cast<int>(behind)) - 1;
      work.problem = static_cast<std::int32_t>(first) + at;
      work.tile = static_cast<std::int32_t>(tile - __shfl_sync(0xffffffffu, through - here, at));
      break;
    }
    before = __shfl_sync(0xffffffffu, through, 31);
  }
  __syncthreads();
  work.problem = sm90_uniform(work.problem);
  work.tile = sm90_uniform(work.tile);
  work.from = sm90_uniform(work.from);
  work.left = sm90_uniform(work.left);
  return {work, units, begin};
}

// Counts problems that still run and finds this cluster's first one. All threads of the block call.
template <int Threads, bool Screens>
__device__ sm90_share sm90_find_share(sm90_params const& p, sm90_scalars* scalars) {
  std::int64_t running = p.b;
  if ((Screens || p.status != nullptr) && p.b > 1) {
    ptx::wait_for_grid_before();  // which decides what has converged
    running = 0;
    for (std::int64_t i = 0; i < p.b; i += Threads) {
      std::int64_t const at = i + threadIdx.x;
      running += __syncthreads_count(at < p.b && !p.skips<Screens>(at));
    }
  }
  std::int64_t const per_problem = p.tiles_per_problem * p.k_tiles;
  std::int64_t const units = running * per_problem;
  std::int64_t const cluster = blockIdx.x / p.layout.cluster;
  std::int64_t const begin = sm90_begin(p, units, cluster);
  sm90_work work;
  work.left = static_cast<std::int32_t>(sm90_begin(p, units, cluster + 1) - begin);
  std::int64_t const ordinal = begin / per_problem;
  std::int64_t const rest = begin - ordinal * per_problem;
  work.tile = static_cast<std::int32_t>(rest / p.k_tiles);
  work.from = static_cast<std::int32_t>(rest - std::int64_t{work.tile} * p.k_tiles);
  if (threadIdx.x == 0) scalars->problem = static_cast<std::int32_t>(ordinal);
  if (running != p.b) {
    // The running problem that `ordinal` others precede.
    std::int64_t before = 0;
    for (std::int64_t i = 0; i < p.b; i += Threads) {
      std::int64_t const at = i + threadIdx.x;
      int const here = __syncthreads_count(at < p.b && !p.skips<Screens>(at));
      if (threadIdx.x == 0 && before <= ordinal && ordinal < before + here) {
        std::int64_t problem = i;
        for (std::int64_t seen = before;; ++problem) {
          if (!p.skips<Screens>(problem) && seen++ == ordinal) break;
        }
        scalars->problem = static_cast<std::int32_t>(problem);
      }
      before += here;
    }
  }
  // A single problem has all the work or none.
  if ((Screens || p.status != nullptr) && p.b == 1) {
    ptx::wait_for_grid_before();
    if (p.skips<Screens>(0)) work.left = 0;
  }
  __syncthreads();
  work.problem = sm90_uniform(scalars->problem);
  work.tile = sm90_uniform(work.tile);
  work.from = sm90_uniform(work.from);
  work.left = sm90_uniform(work.left);
  return {work, units, begin};
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
