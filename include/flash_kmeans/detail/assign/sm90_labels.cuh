// The end of a point tile in the sm90 kernel: from what the lanes found to labels.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/mbarrier.cuh"
#include "argmin.cuh"
#include "sm90_search.cuh"
#include "sm90_work.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

// What a warpgroup found for its 64 points.
struct sm90_found {
  static constexpr std::uint32_t kNone = 0x80000000u;  // a row beyond every problem

  sm90_best best;
  std::int32_t problem = 0;
  std::uint32_t row = kNone;  // of the first point
};

// Writes labels of one warpgroup's points.
template <int Pieces>
struct sm90_labels {
  sm90_params const& p;
  int group;   // which of those that search
  int thread;  // of the warpgroup

  // Named barrier 4 + group is the warpgroup's own.
  __device__ void sync() const { ptx::named_barrier_sync(4 + group, 128); }

  __device__ int row(int h) const { return thread / 32 * 16 + h * 8 + thread % 32 / 4; }

  __device__ void write(sm90_found const& found, std::uint32_t row, std::int32_t nearest) const {
    if (row < static_cast<std::uint32_t>(p.n)) p.labels[found.problem * p.n + row] = nearest;
  }

  __device__ __forceinline__ void write(sm90_found found) const {
    found.best.share();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = found.best.nearest(h);
      if (thread % 4 == 0) write(found, found.row + row(h), nearest);
    }
  }

  // The same where several clusters share the centroids: leaves this one's bests in memory, and if
  // it is the last one of the tile, merges them all. unit: the tile's first one. begins: from the
  // first centroid on.
  __device__ void merge(sm90_found found, std::int64_t units, std::int64_t unit, bool begins,
                        std::int32_t rank, std::uint32_t* last) const {
    sm90_layout const& l = p.layout;
    std::int64_t const clusters = sm90_clusters(p, units);
    // A cluster shares at most its first tile, which others began, and its last one.
    sm90_partial* const partials = p.partials + rank * kSm90Points<Pieces> + group * 64;
    std::int64_t const stride = l.cluster * kSm90Points<Pieces>;
    std::int64_t const slot = 2 * (blockIdx.x / l.cluster) + (begins ? 1 : 0);
    found.best.share();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = found.best.nearest(h);
      if (thread % 4 == 0) partials[slot * stride + row(h)] = {found.best.score[h], nearest};
    }
    // Unit u belongs to the last cluster whose share begins at or before it.
    auto const from = static_cast<std::int32_t>(((unit + 1) * clusters - 1) / units);
    auto const to = static_cast<std::int32_t>(((unit + p.k_tiles) * clusters - 1) / units);
    __threadfence();
    sync();
    if (thread == 0) {
      std::uint32_t const others = to - from;
      last[group] = atomicInc(p.counters + (from * l.cluster + rank) * kSm90Groups<Pieces> + group,
                              others) == others;
    }
    sync();
    if (last[group] != 0 && thread < 64) {
      __threadfence();
      best_score<float> all;
      for (std::int32_t i = from; i <= to; ++i) {
        sm90_partial const* const partial =
            partials + (2 * i + (i == from ? 1 : 0)) * stride + thread;
        all.merge(__ldcg(&partial->score), __ldcg(&partial->index));
      }
      write(found, found.row + thread, all.index);
    }
  }
};

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
