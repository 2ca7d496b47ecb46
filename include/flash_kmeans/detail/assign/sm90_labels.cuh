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
template <bool Screens>
struct sm90_found {
  static constexpr std::uint32_t kNone = 0x80000000u;  // a row beyond every problem

  sm90_best<Screens> best;
  std::int32_t problem = 0;
  std::uint32_t row = kNone;  // of the first point
};

// Writes labels of one warpgroup's points.
template <int Pieces, bool Screens>
struct sm90_labels {
  using found_points = sm90_found<Screens>;
  using partial = sm90_partial<Screens>;

  sm90_params const& p;
  int group;   // which of those that search
  int thread;  // of the warpgroup

  // Named barrier 4 + group is the warpgroup's own.
  __device__ void sync() const { ptx::named_barrier_sync(4 + group, 128); }

  __device__ int row(int h) const { return thread / 32 * 16 + h * 8 + thread % 32 / 4; }

  // One point. gap: from its second best score to the best, which a screen decides by.
  __device__ void write(std::int64_t problem, std::uint32_t row, std::int32_t nearest,
                        float gap) const {
    if (row >= static_cast<std::uint32_t>(p.points<Pieces>(problem))) return;
    std::int64_t point = problem * p.n + row;
    if constexpr (Screens) p.screen.gaps[point] = gap;
    if (p.follows_screen<Pieces>()) point = problem * p.n + p.screen.point(problem, row);
    p.labels[point] = nearest;
  }

  __device__ __forceinline__ void write(found_points found) const {
    found.best.share();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = found.best.nearest(h, p.none);
      float gap = 0;
      if constexpr (Screens) gap = found.best.score[h] - found.best.runner_up(h);
      if (thread % 4 == 0) write(found.problem, found.row + row(h), nearest, gap);
    }
  }

  // The same where several clusters share the centroids: leaves this one's bests in memory, and if
  // it is the last one of the tile, merges them all. begins: from the first centroid on.
  __device__ void merge(found_points found, sm90_scalars* scalars, bool begins,
                        std::int32_t rank) const {
    sm90_layout const& l = p.layout;
    // A cluster shares at most its first tile, which others began, and its last one.
    partial* const partials =
        static_cast<partial*>(p.partials) + rank * kSm90Points<Pieces> + group * 64;
    std::int64_t const stride = l.cluster * kSm90Points<Pieces>;
    std::int64_t const slot = 2 * (blockIdx.x / l.cluster) + (begins ? 1 : 0);
    found.best.share();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = found.best.nearest(h, p.none);
      partial here{};
      here.score = found.best.score[h];
      here.index = nearest;
      if constexpr (Screens) here.second = found.best.runner_up(h);
      if (thread % 4 == 0) partials[slot * stride + row(h)] = here;
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
      float second = -kInfinity<float>;
      for (std::int32_t i = sharers.first; i <= sharers.last; ++i) {
        partial const* const one =
            partials + (2 * i + (i == sharers.first ? 1 : 0)) * stride + thread;
        float const score = __ldcg(&one->score);
        if constexpr (Screens) {
          second = fmaxf(fmaxf(second, __ldcg(&one->second)), fminf(all.score, score));
        }
        all.merge(score, __ldcg(&one->index));
      }
      write(found.problem, found.row + thread, all.label(p.none), all.score - second);
    }
  }
};

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
