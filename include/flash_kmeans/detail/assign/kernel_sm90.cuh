// Assignment on the tensor cores of Hopper: TMA, wgmma, and a role for each warpgroup.
//
// A persistent block takes a share of all (problem, point tile, centroid tile) units, counted in
// that order, so that every SM does the same work whatever the shape; a point tile whose centroids
// several blocks share is merged by the last of them to finish. One warpgroup produces: it keeps
// rings of tiles filled. The others take 64 points each and turns on the tensor cores: while one
// multiplies, the others search their scores for the best.
//
// The bias -|c|^2/2 is one more product, of three bfloat16 pieces with ones, so the accumulators
// hold whole scores and the search only takes maxima.
//
// Operands lie in chunks of 128 bytes a row: 64 features of half, 32 of tf32. Points stay in shared
// memory while all centroids pass, where their chunks fit; else chunks of points and centroids pass
// together, and two blocks form a cluster that shares the centroids. A type with Pieces > 1 (float
// as three bfloat16) multiplies every chunk once for each pair of pieces that matters, and adds up
// turns in registers: tensor cores truncate, so few products may pass through one accumulator.
// float of few features has no pieces here: their pairs are features (operand.cuh).
//
// Shared memory:
//   points     x_slots x turn_chunks x Pieces x [points][128 bytes], swizzled by TMA (resident)
//   stages     c_stages x turn_chunks x Pieces x [width][128 bytes], likewise; then as many
//              [points][128 bytes] where points are not resident; then bias [width][32 bytes]
//   ones       [64][32 bytes], what the bias is multiplied by
//   barriers   full and empty of every stage and slot; sharers known
//   scalars    sm90_scalars
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/cluster.cuh"
#include "../ptx/grid_order.cuh"
#include "../ptx/mbarrier.cuh"
#include "../ptx/tma.cuh"
#include "../ptx/wgmma.cuh"
#include "pieces.cuh"
#include "sm90_labels.cuh"
#include "sm90_producer.cuh"
#include "sm90_search.cuh"
#include "sm90_work.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

// A warpgroup that multiplies and searches.
template <class Operand, int Pieces, bool Screens>
struct sm90_consumer {
  sm90_params const& p;
  sm90_shared const& shared;
  int group;                // which of those that search
  int thread;               // of the warpgroup
  sm90_ring stage, points;  // what comes next
  sm90_labels<Pieces, Screens> const labels;
  sm90_found<Screens> found;  // of the point tile before

  __device__ sm90_consumer(sm90_params const& p_, sm90_shared const& shared_)
      : p(p_),
        shared(shared_),
        group(sm90_uniform(static_cast<int>(threadIdx.x) / 128 - 1)),
        thread(static_cast<int>(threadIdx.x) % 128),
        labels{p_, group, thread} {}

  // Named barrier 1 + group hands the tensor cores over; those of sm90_labels are others.
  __device__ void take_turn() const { ptx::named_barrier_sync(1 + group, 256); }
  __device__ void pass_turn() const {
    ptx::named_barrier_arrive(group + 1 == kSm90Groups<Pieces> ? 1 : 2 + group, 256);
  }

  __device__ __forceinline__ void release_stages(sm90_ring ring, int count) const {
    sm90_layout const& l = p.layout;
    if (l.cluster == 1) {
      if (thread == 0) {
        for (int i = 0; i < count; ++i, ring.advance(1, l.c_stages)) {
          ptx::mbarrier_arrive(shared.stage_empty(ring.slot));
        }
      }
    } else if (thread < l.cluster) {
      for (int i = 0; i < count; ++i, ring.advance(1, l.c_stages)) {
        ptx::mbarrier_arrive_remote(shared.stage_empty(ring.slot), thread);
      }
    }
  }

  // Where a turn's operands lie, in units of 16 bytes.
  struct operands {
    static constexpr int kCount = kSm90TurnChunks<Pieces> * Pieces;
    std::uint32_t x[kCount], c[kCount], ones, bias;
  };

  // Issues a turn's products: Steps of 32 bytes a row, from one chunk or two. First: they replace
  // what acc holds. Bias: the tile's is added. Between products accumulators may pass no branch and
  // no loop (ptxas serialises them), so every number of steps has a straight line of code.
  template <int N, int Steps, bool First, bool Bias>
  __device__ __forceinline__ void issue(float (&acc)[N / 2], operands const& at) const {
    ptx::wgmma_fence();
    for_piece_pairs<Pieces>([&](int pair, int x_of, int c_of) {
#pragma unroll
      for (int s = 0; s < Steps; ++s) {
        std::uint64_t const a = ptx::wgmma_operand(at.x[s / 4 * Pieces + x_of] + s % 4 * 2);
        std::uint64_t const b = ptx::wgmma_operand(at.c[s / 4 * Pieces + c_of] + s % 4 * 2);
        if (First && pair == 0 && s == 0) {
          ptx::wgmma<Operand, N, false>(acc, a, b);
        } else {
          ptx::wgmma<Operand, N, true>(acc, a, b);
        }
      }
    });
    if constexpr (Bias) {
      ptx::wgmma<__nv_bfloat16, N, true>(acc, ptx::wgmma_operand<kSm90BiasRowBytes>(at.ones),
                                         ptx::wgmma_operand<kSm90BiasRowBytes>(at.bias));
    }
    ptx::wgmma_commit();
  }

  // A turn on the tensor cores. meanwhile() runs while they multiply.
  template <int N, bool First, bool Bias, class Meanwhile>
  __device__ __forceinline__ void multiply(float (&acc)[N / 2], int steps, operands const& at,
                                           Meanwhile&& meanwhile) const {
    take_turn();
    if constexpr (Pieces == 1) {
      if (steps == 8) {
        issue<N, 8, First, Bias>(acc, at);
      } else if (steps == 4) {
        issue<N, 4, First, Bias>(acc, at);
      } else {
        switch (steps) {
          case 1: issue<N, 1, First, Bias>(acc, at); break;
          case 2: issue<N, 2, First, Bias>(acc, at); break;
          case 3: issue<N, 3, First, Bias>(acc, at); break;
          case 5: issue<N, 5, First, Bias>(acc, at); break;
          case 6: issue<N, 6, First, Bias>(acc, at); break;
          default: issue<N, 7, First, Bias>(acc, at);
        }
      }
    } else {
      switch (steps) {
        case 1: issue<N, 1, First, Bias>(acc, at); break;
        case 2: issue<N, 2, First, Bias>(acc, at); break;
        case 3: issue<N, 3, First, Bias>(acc, at); break;
        default: issue<N, 4, First, Bias>(acc, at);
      }
    }
    pass_turn();
    meanwhile();
    ptx::wgmma_wait<0>();
  }

  __device__ std::uint32_t stage_units() const {
    return (shared.stages + stage.slot * p.layout.stage_bytes) / 16;
  }
  __device__ std::uint32_t points_units(sm90_ring const& at) const {
    return (shared.points + at.slot * p.layout.point_bytes) / 16 + group * (64 * 128 / 16);
  }

  // Tiles [from, to) of N centroids against points that stay, one turn each: nothing stands between
  // the search of one tile and the products of the next that could be done while products run.
  template <int N>
  __device__ __forceinline__ void span_of_turns(sm90_best<Screens>& best, std::int32_t from,
                                                std::int32_t to, std::int32_t begin) {
    sm90_layout const& l = p.layout;
    std::uint32_t const piece_units = l.width * 128 / 16;
    int const steps = (l.chunks - 1) * kSm90ChunkSteps + l.last_steps;
    ptx::mbarrier_wait(shared.points_full(points.slot), points.parity);
    operands at;
#pragma unroll
    for (int i = 0; i < operands::kCount; ++i) {
      at.x[i] = points_units(points) + i * (kSm90PointBytes<Pieces> / 16);
    }
    at.ones = shared.ones / 16;
#pragma unroll 1
    for (std::int32_t k_tile = from; k_tile < to; ++k_tile) {
      float acc[N / 2];
      std::uint32_t const held = stage_units(), empty = shared.stage_empty(stage.slot);
#pragma unroll
      for (int i = 0; i < operands::kCount; ++i) at.c[i] = held + i * piece_units;
      at.bias = held + l.bias_units;
      ptx::mbarrier_wait(shared.stage_full(stage.slot), stage.parity);
      multiply<N, true, true>(acc, steps, at, [&] {
        stage.advance(1, l.c_stages);
        share(best, k_tile == begin);
      });
      if (!l.keep_centroids && thread == 0) ptx::mbarrier_arrive(empty);
      sm90_search<N>(best, acc, k_tile * l.width + thread % 4 * 2);
    }
  }

  // While the first products of a point tile run, the one before gets its labels. A screen has no
  // registers for that: it writes them at once.
  static constexpr bool kDefers = !Screens;
  __device__ __forceinline__ void share(sm90_best<Screens>& best, bool first) {
    if (!first) {
      best.share();
    } else if constexpr (kDefers) {
      labels.write(found);
    }
  }

  // Tiles [from, to) of N centroids, in several turns each or with points that pass along. Those of
  // tile `begin` may still be on their way. done: the last tile reads them for the last time.
  template <int N>
  __device__ __forceinline__ void span_of_tiles(sm90_best<Screens>& best, std::int32_t from,
                                                std::int32_t to, std::int32_t begin, bool done) {
    sm90_layout const& l = p.layout;
    std::uint32_t const piece_units = l.width * 128 / 16;
#pragma unroll 1
    for (std::int32_t k_tile = from; k_tile < to; ++k_tile) {
      sm90_ring point = points;
      float acc[N / 2];
      auto turn = [&](auto& sums, auto first, auto bias, int chunk) {
        int const chunks = min(l.chunks - chunk, l.turn_chunks);
        int const steps = (chunks - 1) * kSm90ChunkSteps +
                          (chunk + chunks == l.chunks ? l.last_steps : kSm90ChunkSteps);
        std::uint32_t const held = stage_units();
        std::uint32_t x_units =
            held + l.turn_chunks * Pieces * piece_units + group * (64 * 128 / 16);
        if (l.keep_points) {
          x_units = points_units(point);
          if (k_tile == begin) ptx::mbarrier_wait(shared.points_full(point.slot), point.parity);
        }
        operands at;
#pragma unroll
        for (int i = 0; i < operands::kCount; ++i) {
          at.c[i] = held + i * piece_units;
          at.x[i] = x_units + i * (kSm90PointBytes<Pieces> / 16);
        }
        at.ones = shared.ones / 16;
        at.bias = held + l.bias_units;
        ptx::mbarrier_wait(shared.stage_full(stage.slot), stage.parity);
        multiply<N, decltype(first)::value, decltype(bias)::value>(sums, steps, at, [&] {
          if constexpr (decltype(bias)::value) share(best, k_tile == begin);
        });
        if (!l.keep_centroids) release_stages(stage, 1);
        stage.advance(1, l.c_stages);
        if (l.keep_points) {
          if (done && k_tile + 1 == to) release_points(point);
          point.advance(1, l.x_slots);
        }
      };
      turn(acc, std::true_type{}, std::true_type{}, 0);
#pragma unroll 1
      for (int chunk = l.turn_chunks; chunk < l.chunks; chunk += l.turn_chunks) {
        if constexpr (Pieces == 1) {
          turn(acc, std::false_type{}, std::false_type{}, chunk);
        } else {
          float more[N / 2];
          turn(more, std::true_type{}, std::false_type{}, chunk);
#pragma unroll
          for (int j = 0; j < N / 2; ++j) acc[j] += more[j];
        }
      }
      sm90_search<N>(best, acc, k_tile * l.width + thread % 4 * 2);
    }
  }

  __device__ __forceinline__ void release_points(sm90_ring const& at) const {
    if (thread == 0) ptx::mbarrier_arrive(shared.points_empty(at.slot));
  }

  // Tiles of one width.
  template <int N>
  __device__ __forceinline__ void span(sm90_best<Screens>& best, std::int32_t from, std::int32_t to,
                                       std::int32_t begin, bool done) {
    if constexpr (Pieces == 1) {
      if (p.layout.chunks <= kSm90TurnChunks<Pieces> && p.layout.keep_points) {
        span_of_turns<N>(best, from, to, begin);
        if (done) release_points(points);
        return;
      }
    }
    span_of_tiles<N>(best, from, to, begin, done);
  }
  __device__ __forceinline__ void span(sm90_best<Screens>& best, int width, std::int32_t from,
                                       std::int32_t to, std::int32_t begin, bool done) {
    if (width == 64) {
      span<64>(best, from, to, begin, done);
    } else if (Pieces > 1 || width == 128) {
      span<128>(best, from, to, begin, done);
    } else if constexpr (Pieces == 1) {
      span<192>(best, from, to, begin, done);
    }
  }

  __device__ __forceinline__ void run(sm90_work work, std::int32_t rank, sm90_scalars* scalars) {
    sm90_layout const& l = p.layout;
    int const turns = ceil_div(l.chunks, l.turn_chunks);  // of a tile
    // The last tile of a problem may be narrower.
    int const last_width = sm90_width(p.k - (p.k_tiles - 1) * l.width, l.width);
    int const whole_tiles = last_width == l.width ? p.k_tiles : p.k_tiles - 1;
    if (group + 1 == kSm90Groups<Pieces>) pass_turn();
    sm90_ring kept = stage;  // where centroids that stay begin
    if (l.keep_centroids) stage.advance(turns * work.from, l.c_stages);
    while (work.any()) {
      std::int32_t const begin = work.from, to = work.to(p);
      sm90_best<Screens> best;
      for (std::int32_t from = begin; from < to;) {
        std::int32_t const end = from < whole_tiles && whole_tiles < to ? whole_tiles : to;
        span(best, from < whole_tiles ? l.width : last_width, from, end, begin, end == to);
        from = end;
      }
      if (l.keep_points) points.advance(turns, l.x_slots);
      found.best = best;
      found.problem = work.problem;
      found.row = sm90_row<Pieces>(p, work, rank) + group * 64;
      if (begin != 0 || to != p.k_tiles) {
        ptx::mbarrier_wait(shared.sharers_known(), 0);
        labels.merge(found, scalars, begin == 0, rank);
        found.row = sm90_found<Screens>::kNone;
      } else if constexpr (!kDefers) {
        labels.write(found);
      }
      work.next<Pieces, Screens>(p);
      if (l.keep_centroids) {
        if (work.problem != found.problem) {
          release_stages(kept, turns * p.k_tiles);
          kept.advance(turns * p.k_tiles, l.c_stages);
        }
        stage = kept;
      }
    }
    if constexpr (kDefers) labels.write(found);
    if (group == 0) take_turn();  // the other's last pass
  }
};

#endif

// Screens: it also finds how far every point's second best score is behind the best
// (screen_state.cuh).
template <class Operand, int Pieces, bool Screens = false>
FLASH_KMEANS_KERNEL void __launch_bounds__(FLASH_KMEANS_HAS_WGMMA ? kSm90Threads<Pieces> : 32, 1)
    sm90_kernel(__grid_constant__ sm90_params const p) {
#if FLASH_KMEANS_HAS_WGMMA
  extern __shared__ __align__(1024) unsigned char shared_memory[];
  sm90_layout const& l = p.layout;
  sm90_shared const shared(static_cast<std::uint32_t>(__cvta_generic_to_shared(shared_memory)), l);
  // Static shared memory would move the tiles off their alignment.
  auto* const scalars =
      reinterpret_cast<sm90_scalars*>(shared_memory + l.bytes() - kSm90ScalarBytes);
  std::int32_t const rank = l.cluster == 1 ? 0 : static_cast<std::int32_t>(ptx::cluster_rank());
  if (threadIdx.x == 64) {
    ptx::tma_prefetch_map(&p.x);
    ptx::tma_prefetch_map(&p.c);
    ptx::tma_prefetch_map(&p.bias);
  }
  if (threadIdx.x < 32) {
    int const slot = static_cast<int>(threadIdx.x);
    if (slot < l.c_stages) {
      ptx::mbarrier_init(shared.stage_full(slot), 1);
      ptx::mbarrier_init(shared.stage_empty(slot), kSm90Groups<Pieces> * l.cluster);
    }
    if (slot < l.x_slots) {
      ptx::mbarrier_init(shared.points_full(slot), 1);
      ptx::mbarrier_init(shared.points_empty(slot), kSm90Groups<Pieces>);
    }
    if (slot == 0) ptx::mbarrier_init(shared.sharers_known(), 2);
    ptx::mbarrier_init_fence();
  }
  if (threadIdx.x < 64) {
    // 1, 1, 1 and zeros in every row, its two units swapped in every other group of 4 rows.
    auto* const row =
        reinterpret_cast<uint4*>(shared_memory + (shared.ones - shared.points)) + 2 * threadIdx.x;
    std::uint32_t const swapped = threadIdx.x / 4 % 2;
    row[swapped] = uint4{0x3f803f80u, 0x00003f80u, 0, 0};
    row[swapped ^ 1] = uint4{0, 0, 0, 0};
    ptx::async_proxy_fence();
  }
  sm90_share const share = p.follows_screen<Pieces>()
                               ? sm90_find_open_share<Pieces>(p)
                               : sm90_find_share<kSm90Threads<Pieces>, Screens>(p, scalars);
  sm90_work const work = share.work;
  if (l.cluster > 1) ptx::cluster_sync();
  // Without a status or a screen this comes before the wait of the thread that loads centroids, so
  // two grids before the next one may be at work: see launches.md.
  ptx::let_next_grid_start();
  // Divisions that are needed at the end, by threads that have nothing to do.
  int const which = static_cast<int>(threadIdx.x) - 64;
  if ((which == 0 || which == 1) && work.any()) {
    scalars->sharers[which] = share.sharers(p, which);
    ptx::mbarrier_arrive(shared.sharers_known());
  }

  if (sm90_uniform(static_cast<int>(threadIdx.x) / 128) == 0) {
    ptx::fewer_registers<56>();
    if (threadIdx.x == 0) sm90_load_stages<Operand, Pieces, Screens>(p, shared, work, rank);
    if (threadIdx.x == 32 && l.keep_points) {
      sm90_load_points<Operand, Pieces, Screens>(p, shared, work, rank);
    }
  } else {
    ptx::more_registers<Pieces == 1 ? 152 : 224>();
    sm90_consumer<Operand, Pieces, Screens> consumer(p, shared);
    consumer.run(work, rank, scalars);
  }
  // A block that has ended can take no arrivals from the others.
  if (l.cluster > 1) {
    __syncwarp();
    ptx::cluster_sync();
  }
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
