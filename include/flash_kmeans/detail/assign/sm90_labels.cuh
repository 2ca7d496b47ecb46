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
      std::int32_t const nearest = found.best.nearest(h, p.none);
      if (thread % 4 == 0) write(found, found.row + row(h), nearest);
    }
  }

  // The same where several clusters share the centroids: leaves this one's bests in memory, and if
  // it is the last one of the tile, merges them all. begins: from the first centroid on.
  __device__ void merge(sm90_found found, sm90_scalars* scalars, bool begins,
                        std::int32_t rank) const {
    sm90_layout const& l = p.layout;
    // A cluster shares at most its first tile, which others began, and its last one.
    sm90_partial* const partials = p.partials + rank * kSm90Points<Pieces> + group * 64;
    std::int64_t const stride = l.cluster * kSm90Points<Pieces>;
    std::int64_t const slot = 2 * (blockIdx.x / l.cluster) + (begins ? 1 : 0);
    found.best.share();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = found.best.nearest(h, p.none);
      if (thread % 4 == 0) partials[slot * stride + row(h)] = {found.best.score[h], nearest};
    }
    sm90_sharers const sharers = scalars->sharers[begins ? 1 : 0];
    __threadfence();
    sync();
    if (thread == 0) {
      std::uint32_t const others = sharers.last - sharers.first;
      std::uint32_t* const counter =
          p.counters + (sharers.first * l.cluster + rank) * kSm90Groups<Pieces> + group;
      scalars->last[group] = atomicInc(counter, others) == others;
    }
    sync();
    if (scalars->last[group] != 0 && thread < 64) {
      __threadfence();
      best_score<float> all;
      for (std::int32_t i = sharers.first; i <= sharers.last; ++i) {
        sm90_partial const* const partial =
            partials + (2 * i + (i == sharers.first ? 1 : 0)) * stride + thread;
        all.merge(__ldcg(&partial->score), __ldcg(&partial->index));
      }
      write(found, found.row + thread, all.label(p.none));
    }
  }
};

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
