// Assignment on the tensor cores of Hopper: TMA, wgmma, three warpgroups with a role each.
//
// A persistent block takes a share of all (problem, point tile, centroid tile) units, counted in
// that order, so that every SM does the same work whatever the shape; a point tile whose centroids
// two or more blocks share is merged by the last of them to finish. One producer warpgroup keeps
// rings of tiles filled; two consumer warpgroups, 64 points each, take turns on the tensor cores:
// while one multiplies, the other searches its products for the best.
//
// Operands lie in chunks of 128 bytes a row, so a chunk holds 64 features of half and 32 of tf32.
// Points stay in shared memory while all centroids pass, where their chunks fit; else chunks of
// points and centroids pass together. A type with Pieces > 1 (float as 3 x bfloat16) multiplies
// every chunk once per pair of pieces that matters.
//
// Shared memory:
//   points     x_slots x [128][128 bytes], swizzled by TMA; ring over chunks (resident)
//   stages     c_stages x Pieces x [width][128 bytes], likewise; followed by Pieces x [128][128 bytes]
//              of points where those are not resident
//   ones       [64][32 bytes], what the bias is multiplied by
//   barriers   full and empty of each ring
#pragma once

#include <cuda.h>

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/mbarrier.cuh"
#include "../ptx/tma.cuh"
#include "../ptx/wgmma.cuh"
#include "argmin.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

#ifdef FK_CLOCK
static __device__ long long fk_clocks[256];
#endif

// The best of a row over the centroids that one block saw.
struct sm90_partial {
  float score;
  std::int32_t index;
};

struct sm90_params {
  CUtensorMap
      bias;       // {16, k_padded, 1, b} of bfloat16; boxes of width rows of 32 bytes: -|c|^2/2 as
                  // three pieces that add up to it, then zeros; -inf from k on
  CUtensorMap x;  // {d, n, inner, outer}, or {d, n, pieces, b}; boxes of 128 rows of 128 bytes
  CUtensorMap c;  // {d, k, pieces, b}; boxes of width / cluster rows of 128 bytes
  std::int32_t x_inner;
  std::int32_t* labels;      // [b][n]
  fit_status const* status;  // [b] or null: problems that have converged keep their labels
  sm90_partial* partials;    // [2 * clusters][blocks of a cluster][128]
  std::uint32_t* counters;   // [clusters][blocks of a cluster][2], zero between launches
  std::int64_t b, n;
  std::int32_t k, d;
  std::int32_t k_tiles;            // of one problem
  std::int64_t tiles_per_problem;  // of points, a cluster of blocks each
  sm90_layout layout;

  __device__ bool skips(std::int64_t problem) const {
    return status != nullptr && status[problem].converged != 0;
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
  __device__ void next(sm90_params const& p) {
    left -= to(p) - from;
    from = 0;
    if (left == 0) return;
    if (++tile == p.tiles_per_problem) {
      tile = 0;
      do ++problem;
      while (p.skips(problem));
    }
  }
};

// What the threads of a block tell each other once, behind the barriers.
struct sm90_scalars {
  std::int64_t units;     // of all problems that still run
  std::int32_t problem;   // in which this cluster begins
  std::uint32_t last[3];  // whether a warpgroup is the last one of a shared tile
};
static_assert(sizeof(sm90_scalars) <= kSm90ScalarBytes);

// Unit at which the share of a cluster begins.
__device__ inline std::int64_t sm90_begin(sm90_params const& p, std::int64_t units,
                                          std::int64_t cluster) {
  return units * cluster / (gridDim.x / p.layout.cluster);
}

// Counts problems that still run and finds this cluster's first one. All threads of the block call.
template <int Threads>
__device__ sm90_work sm90_share(sm90_params const& p, sm90_scalars* scalars) {
  std::int64_t running = p.b;
  if (p.status != nullptr) {
    running = 0;
    for (std::int64_t i = 0; i < p.b; i += Threads) {
      std::int64_t const at = i + threadIdx.x;
      running += __syncthreads_count(at < p.b && !p.skips(at));
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
  if (threadIdx.x == 0) {
    scalars->units = units;
    scalars->problem = static_cast<std::int32_t>(ordinal);
  }
  if (running != p.b) {
    // The running problem that `ordinal` others precede.
    std::int64_t before = 0;
    for (std::int64_t i = 0; i < p.b; i += Threads) {
      std::int64_t const at = i + threadIdx.x;
      int const here = __syncthreads_count(at < p.b && !p.skips(at));
      if (threadIdx.x == 0 && before <= ordinal && ordinal < before + here) {
        std::int64_t problem = i;
        for (std::int64_t seen = before;; ++problem) {
          if (!p.skips(problem) && seen++ == ordinal) break;
        }
        scalars->problem = static_cast<std::int32_t>(problem);
      }
      before += here;
    }
  }
  __syncthreads();
  work.problem = scalars->problem;
  return work;
}

// What one thread knows of its two rows. Among equal scores the lowest index wins: later ones must
// exceed `score`.
struct sm90_best {
  float score[2];         // the best that the four lanes of the row have shared
  float own[2];           // this lane's last score that exceeded it
  std::int32_t index[2];  // and that score's centroid

  __device__ sm90_best()
      : score{-kInfinity<float>, -kInfinity<float>}, own{-kInfinity<float>, -kInfinity<float>} {}

  __device__ void share() {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      score[h] = fmaxf(score[h], __shfl_xor_sync(0xffffffffu, score[h], 1));
      score[h] = fmaxf(score[h], __shfl_xor_sync(0xffffffffu, score[h], 2));
    }
  }

  // Index of the row's best, 0 where nothing exceeded -inf. After share().
  __device__ std::int32_t nearest(int h) const {
    constexpr std::int32_t kNone = 0x7fffffff;
    std::int32_t lowest = own[h] == score[h] && own[h] > -kInfinity<float> ? index[h] : kNone;
    lowest = min(lowest, __shfl_xor_sync(0xffffffffu, lowest, 1));
    lowest = min(lowest, __shfl_xor_sync(0xffffffffu, lowest, 2));
    return lowest == kNone ? 0 : lowest;
  }
};

// The search through one tile: maxima of groups of 4 scores, and of those. Only where the tile's
// exceeds the best so far is its index looked for. column: the thread's first one.
template <int N>
__device__ __forceinline__ void sm90_search(sm90_best& best, float const (&scores)[N / 2],
                                            std::int32_t column) {
  constexpr int kGroups = N / 16;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float most[kGroups], all;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      float const* const v = scores + 8 * g + 2 * h;
      most[g] = fmaxf(fmaxf(v[0], v[1]), fmaxf(v[4], v[5]));
      all = g == 0 ? most[0] : fmaxf(all, most[g]);
    }
    if (all > best.score[h]) {
      best.score[h] = best.own[h] = all;
      float v[3];
      std::int32_t first = 0;
#pragma unroll
      for (int g = kGroups - 1; g >= 0; --g) {  // the first of equals comes last
        if (most[g] == all) {
          first = 16 * g;
          v[0] = scores[8 * g + 2 * h];
          v[1] = scores[8 * g + 2 * h + 1];
          v[2] = scores[8 * g + 2 * h + 4];
        }
      }
      best.index[h] = column + first + (v[0] == all ? 0 : v[1] == all ? 1 : v[2] == all ? 8 : 9);
    }
  }
}

// The producer's thread for points that stay: one chunk a slot.
template <class Operand, int Pieces>
__device__ void sm90_load_points(sm90_params const& p, sm90_shared const& shared, sm90_work work,
                                 std::int32_t rank) {
  constexpr int kFeatures = 128 / sizeof(Operand);
  sm90_layout const& l = p.layout;
  sm90_ring ring;
  for (; work.any(); work.next(p)) {
    std::int32_t const row = (work.tile * l.cluster + rank) * kSm90Points<Pieces>;
    std::int32_t const outer = work.problem / p.x_inner;
    std::int32_t const inner = work.problem - outer * p.x_inner;
    for (int chunk = 0; chunk < l.chunks; ++chunk) {
      for (int piece = 0; piece < Pieces; ++piece) {
        ptx::mbarrier_wait(shared.points_empty(ring.slot), ring.parity ^ 1);
        std::uint32_t const full = shared.points_full(ring.slot);
        ptx::mbarrier_arrive_expect(full, kSm90PointBytes<Pieces>);
        ptx::tma_load(shared.points + ring.slot * kSm90PointBytes<Pieces>, &p.x, chunk * kFeatures,
                      row, Pieces == 1 ? inner : piece, outer, full);
        ring.advance(1, l.x_slots);
      }
    }
  }
}

// The producer's thread for centroids, their bias, and points that do not stay: one turn a stage,
// the bias of a tile with its first turn.
template <class Operand, int Pieces>
__device__ void sm90_load_stages(sm90_params const& p, sm90_shared const& shared, sm90_work work,
                                 std::int32_t rank) {
  constexpr int kFeatures = 128 / sizeof(Operand);
  constexpr int kTurn = kSm90TurnChunks<Pieces>;
  sm90_layout const& l = p.layout;
  auto const everyone = static_cast<std::uint16_t>((1 << l.cluster) - 1);
  std::uint32_t const piece_bytes = l.width * 128;
  std::uint32_t const chunk_bytes =
      Pieces * (piece_bytes + (l.keep_points ? 0 : kSm90PointBytes<Pieces>));
  int const rows = l.width / l.cluster;  // that this block loads
  sm90_ring ring;
  std::uint32_t const bias_bytes = l.width * kSm90BiasRowBytes;
  std::int32_t loaded = -1;
  for (; work.any(); work.next(p)) {
    if (l.keep_centroids && work.problem == loaded) continue;
    loaded = work.problem;
    std::int32_t const row = (work.tile * l.cluster + rank) * kSm90Points<Pieces>;
    std::int32_t const outer = work.problem / p.x_inner;
    std::int32_t const inner = work.problem - outer * p.x_inner;
    std::int32_t const to = l.keep_centroids ? p.k_tiles : work.to(p);
    for (std::int32_t k_tile = l.keep_centroids ? 0 : work.from; k_tile < to; ++k_tile) {
      std::int32_t const k0 = k_tile * l.width;
      for (int first = 0; first < l.chunks; first += kTurn) {
        int const chunks = l.chunks - first < kTurn ? l.chunks - first : kTurn;
        ptx::mbarrier_wait(shared.stage_empty(ring.slot), ring.parity ^ 1);
        std::uint32_t const full = shared.stage_full(ring.slot);
        std::uint32_t const stage = shared.stages + ring.slot * l.stage_bytes;
        ptx::mbarrier_arrive_expect(full, chunks * chunk_bytes + (first == 0 ? bias_bytes : 0));
        if (first == 0) {
          ptx::tma_load(stage + l.bias_units * 16, &p.bias, 0, k0, 0, work.problem, full);
        }
        for (int i = 0; i < chunks * Pieces; ++i) {
          int const feature = (first + i / Pieces) * kFeatures, piece = i % Pieces;
          std::uint32_t const at = stage + i * piece_bytes;
          if (l.cluster == 1) {
            ptx::tma_load(at, &p.c, feature, k0, piece, work.problem, full);
          } else {
            ptx::tma_load_multicast(at + rank * rows * 128, &p.c, feature, k0 + rank * rows, piece,
                                    work.problem, full, everyone);
          }
          if (!l.keep_points) {
            ptx::tma_load(stage + kTurn * Pieces * piece_bytes + i * kSm90PointBytes<Pieces>, &p.x,
                          feature, row, Pieces == 1 ? inner : piece, outer, full);
          }
        }
        ring.advance(1, l.c_stages);
      }
    }
  }
}

// A consumer warpgroup.
template <class Operand, int Pieces>
struct sm90_consumer {
  sm90_params const& p;
  sm90_shared const& shared;
  int group;                // 0 or 1
  int thread;               // in the warpgroup
  sm90_ring stage, points;  // what comes next
  __device__ sm90_consumer(sm90_params const& p_, sm90_shared const& shared_)
      : p(p_),
        shared(shared_),
        group(sm90_uniform(static_cast<int>(threadIdx.x) / 128 - 1)),
        thread(static_cast<int>(threadIdx.x) % 128) {}

  // Named barriers: 1 + group hands the tensor cores over, 4 + group is the warpgroup's own.
  __device__ void take_turn() const { ptx::named_barrier_sync(1 + group, 256); }
  __device__ void pass_turn() const {
    ptx::named_barrier_arrive(group + 1 == kSm90Groups<Pieces> ? 1 : 2 + group, 256);
  }

  __device__ void sync() const { ptx::named_barrier_sync(4 + group, 128); }

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

  // Issues a turn's products: Steps of 32 bytes a row, from one chunk or two. First: they do not add
  // to what acc holds. Bias: the tile's bias is added. wgmma's accumulators may not pass through a
  // branch or a loop between products (ptxas then serialises them), so every number of steps has
  // its own straight line of code.
  template <int N, int Steps, bool First, bool Bias>
  __device__ __forceinline__ void issue(float (&acc)[N / 2], operands const& at) const {
    ptx::wgmma_fence();
    // Pairs of pieces in the order of their size, the smallest first, so that little is rounded
    // away.
#pragma unroll
    for (int sum = Pieces - 1; sum >= 0; --sum) {
#pragma unroll
      for (int x_of = 0; x_of <= sum; ++x_of) {
#pragma unroll
        for (int s = 0; s < Steps; ++s) {
          std::uint64_t const a = ptx::wgmma_operand(at.x[s / 4 * Pieces + x_of] + s % 4 * 2);
          std::uint64_t const b = ptx::wgmma_operand(at.c[s / 4 * Pieces + sum - x_of] + s % 4 * 2);
          if (First && sum == Pieces - 1 && x_of == 0 && s == 0) {
            ptx::wgmma<Operand, N, false>(acc, a, b);
          } else {
            ptx::wgmma<Operand, N, true>(acc, a, b);
          }
        }
      }
    }
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
    return (shared.points + at.slot * kSm90PointBytes<Pieces>) / 16 + group * (64 * 128 / 16);
  }
  // Tiles [from, to) of N centroids against points that stay, one turn each: nothing stands between
  // the search of one tile and the products of the next that could be done while products run.
  template <int N>
  __device__ __forceinline__ void span_of_turns(sm90_best& best, std::int32_t from, std::int32_t to,
                                                bool done) {
    sm90_layout const& l = p.layout;
    std::uint32_t const piece_units = l.width * 128 / 16;
    int const steps = (l.chunks - 1) * kSm90ChunkSteps + l.last_steps;
    operands at;
    sm90_ring point = points;
    bool ready = ptx::mbarrier_test(shared.stage_full(stage.slot), stage.parity);
#pragma unroll
    for (int i = 0; i < operands::kCount; ++i) {
      at.x[i] = sm90_uniform(points_units(point));
      if (i < l.chunks * Pieces) {
        ready &= ptx::mbarrier_test(shared.points_full(point.slot), point.parity);
        point.advance(1, l.x_slots);
      }
    }
    if (!ready) wait_for_points();
    at.ones = shared.ones / 16;
    std::uint32_t held = sm90_uniform(stage_units());
#pragma unroll 1
    for (std::int32_t k_tile = from; k_tile < to; ++k_tile) {
      float acc[N / 2];
      std::uint32_t const empty = shared.stage_empty(stage.slot);
#pragma unroll
      for (int i = 0; i < operands::kCount; ++i) at.c[i] = held + i * piece_units;
      at.bias = held + l.bias_units;
      if (!ready) ptx::mbarrier_wait(shared.stage_full(stage.slot), stage.parity);
      multiply<N, true, true>(acc, steps, at, [&] {
        stage.advance(1, l.c_stages);
        held = sm90_uniform(stage_units());
        best.share();
        ready = k_tile + 1 < to && ptx::mbarrier_test(shared.stage_full(stage.slot), stage.parity);
      });
      if (!l.keep_centroids && thread == 0) ptx::mbarrier_arrive(empty);
      sm90_search<N>(best, acc, k_tile * l.width + thread % 4 * 2);
    }
    if (done) release_points(points, l.chunks * Pieces);
  }

  __device__ void wait_for_points() const {
    sm90_ring point = points;
    for (int i = 0; i < p.layout.chunks * Pieces; ++i, point.advance(1, p.layout.x_slots)) {
      ptx::mbarrier_wait(shared.points_full(point.slot), point.parity);
    }
  }

  __device__ __forceinline__ void release_points(sm90_ring ring, int count) const {
    if (thread == 0) {
      for (int i = 0; i < count; ++i, ring.advance(1, p.layout.x_slots)) {
        ptx::mbarrier_arrive(shared.points_empty(ring.slot));
      }
    }
  }

  // Tiles [from, to) of N centroids, several turns each, or points that pass with the centroids.
  // With tile `begin` the points' chunks may still be on their way, and between() runs. done: with
  // the last tile the points are read for the last time.
  template <int N>
  __device__ __forceinline__ void span_of_tiles(sm90_best& best, std::int32_t from, std::int32_t to,
                                                std::int32_t begin, bool done) {
    constexpr int kTurn = kSm90TurnChunks<Pieces>;
    sm90_layout const& l = p.layout;
    std::uint32_t const piece_units = l.width * 128 / 16;
#pragma unroll 1
    for (std::int32_t k_tile = from; k_tile < to; ++k_tile) {
      sm90_ring point = points;
      float acc[N / 2];
      auto turn = [&](auto& sums, auto first, auto bias, int chunk) {
        int const chunks = l.chunks - chunk < kTurn ? l.chunks - chunk : kTurn;
        int const steps = (chunks - 1) * kSm90ChunkSteps +
                          (chunk + chunks == l.chunks ? l.last_steps : kSm90ChunkSteps);
        std::uint32_t const held = stage_units();
        sm90_ring const begun = point;
        operands at;
#pragma unroll
        for (int i = 0; i < operands::kCount; ++i) {
          at.c[i] = sm90_uniform(held + i * piece_units);
          std::uint32_t from_units = held + operands::kCount * piece_units +
                                     i * (kSm90PointBytes<Pieces> / 16) + group * (64 * 128 / 16);
          if (l.keep_points) {
            from_units = points_units(point);
            if (i < chunks * Pieces) {
              if (k_tile == begin) {
                ptx::mbarrier_wait(shared.points_full(point.slot), point.parity);
              }
              point.advance(1, l.x_slots);
            }
          }
          at.x[i] = sm90_uniform(from_units);
        }
        at.ones = shared.ones / 16;
        at.bias = sm90_uniform(held + l.bias_units);
        ptx::mbarrier_wait(shared.stage_full(stage.slot), stage.parity);
        multiply<N, decltype(first)::value, decltype(bias)::value>(sums, steps, at, [&] {
          if constexpr (decltype(bias)::value) {
            best.share();
          }
        });
        if (!l.keep_centroids) release_stages(stage, 1);
        stage.advance(1, l.c_stages);
        if (done && k_tile + 1 == to && l.keep_points) release_points(begun, chunks * Pieces);
      };
      turn(acc, std::true_type{}, std::true_type{}, 0);
#pragma unroll 1
      for (int chunk = kTurn; chunk < l.chunks; chunk += kTurn) {
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

  // Tiles of one width.
  template <int N>
  __device__ __forceinline__ void span(sm90_best& best, std::int32_t from, std::int32_t to,
                                       std::int32_t begin, bool done) {
    if constexpr (Pieces == 1) {
      if (p.layout.chunks <= kSm90TurnChunks<Pieces> && p.layout.keep_points) {
        return span_of_turns<N>(best, from, to, done);
      }
    }
    span_of_tiles<N>(best, from, to, begin, done);
  }
  __device__ __forceinline__ void span(sm90_best& best, int width, std::int32_t from,
                                       std::int32_t to, std::int32_t begin, bool done) {
    if (width == 64) {
      span<64>(best, from, to, begin, done);
    } else if (Pieces > 1 || width == 128) {
      span<128>(best, from, to, begin, done);
    } else if constexpr (Pieces == 1) {
      span<192>(best, from, to, begin, done);
    }
  }

  __device__ int row(int h) const { return thread / 32 * 16 + h * 8 + thread % 32 / 4; }

  // Labels of `rows` points, the first one's at `labels`, from the bests that lanes found.
  __device__ __forceinline__ void write_labels(sm90_best const& best, std::int32_t* labels,
                                               std::int64_t rows) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = best.nearest(h);
      if (thread % 4 == 0 && row(h) < rows) labels[row(h)] = nearest;
    }
  }

  // The same where several clusters share the centroids: leaves this one's bests in memory, and if
  // it is the last one of the tile, merges them all. unit: the tile's first one. begins: from the
  // first centroid on.
  __device__ void merge(sm90_best const& best, std::int32_t* labels, std::int64_t rows,
                        std::int64_t units, std::int64_t unit, bool begins, std::int32_t rank,
                        std::uint32_t* last) const {
    sm90_layout const& l = p.layout;
    std::int64_t const clusters = gridDim.x / l.cluster;
    // A cluster shares at most its first tile, which others began, and its last one.
    sm90_partial* const partials = p.partials + rank * kSm90Points<Pieces> + group * 64;
    std::int64_t const stride = l.cluster * kSm90Points<Pieces>;
    std::int64_t const slot = 2 * (blockIdx.x / l.cluster) + (begins ? 1 : 0);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      std::int32_t const nearest = best.nearest(h);
      if (thread % 4 == 0) partials[slot * stride + row(h)] = {best.score[h], nearest};
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
    if (last[group] != 0 && thread < 64 && thread < rows) {
      __threadfence();
      best_score<float> all;
      for (std::int32_t i = from; i <= to; ++i) {
        sm90_partial const* const partial =
            partials + (2 * i + (i == from ? 1 : 0)) * stride + thread;
        all.merge(__ldcg(&partial->score), __ldcg(&partial->index));
      }
      labels[thread] = all.index;
    }
  }

  __device__ __forceinline__ void run(sm90_work work, std::int32_t rank, sm90_scalars* scalars) {
    sm90_layout const& l = p.layout;
    int const turns = p.k_tiles * ceil_div(l.chunks, kSm90TurnChunks<Pieces>);  // of a point tile
    // The last tile of a problem may be narrower.
    int const last_width = sm90_width(p.k - (p.k_tiles - 1) * l.width, l.width);
    int const whole_tiles = last_width == l.width ? p.k_tiles : p.k_tiles - 1;
    if (group + 1 == kSm90Groups<Pieces>) pass_turn();
    sm90_ring kept = stage;  // where centroids that stay begin
    if (l.keep_centroids) stage.advance(turns / p.k_tiles * work.from, l.c_stages);
    while (sm90_uniform(work.any())) {
      std::int32_t const begin = sm90_uniform(work.from), to = sm90_uniform(work.to(p));
      sm90_best best;
      for (std::int32_t from = begin; from < to;) {
        std::int32_t const end = from < whole_tiles && whole_tiles < to ? whole_tiles : to;
        span(best, from < whole_tiles ? l.width : last_width, from, end, begin, end == to);
        from = end;
      }
      points.advance(l.keep_points ? l.chunks * Pieces : 0, l.x_slots);
      best.share();
      std::int64_t const first =
          (std::int64_t{work.tile} * l.cluster + rank) * kSm90Points<Pieces> + group * 64;
      std::int32_t* const labels = p.labels + work.problem * p.n + first;
      if (begin == 0 && to == p.k_tiles) {
        write_labels(best, labels, p.n - first);
      } else {
        std::int64_t const units = scalars->units;
        merge(best, labels, p.n - first, units,
              sm90_begin(p, units, blockIdx.x / l.cluster + 1) - work.left - begin, begin == 0,
              rank, scalars->last);
      }
      std::int32_t const problem = work.problem;
      work.next(p);
      if (l.keep_centroids) {
        if (work.problem != problem) {
          release_stages(kept, turns);
          kept.advance(turns, l.c_stages);
        }
        stage = kept;
      }
    }
    if (group == 0) take_turn();  // the other's last pass
  }
};

#endif

template <class Operand, int Pieces>
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
#ifdef FK_CLOCK
  long long const t0 = clock64();
#endif
  if (threadIdx.x == 0) {
    ptx::tma_prefetch_map(&p.x);
    ptx::tma_prefetch_map(&p.c);
    ptx::tma_prefetch_map(&p.bias);
    for (int i = 0; i < l.c_stages; ++i) {
      ptx::mbarrier_init(shared.stage_full(i), 1);
      ptx::mbarrier_init(shared.stage_empty(i), kSm90Groups<Pieces> * l.cluster);
    }
    for (int i = 0; i < l.x_slots; ++i) {
      ptx::mbarrier_init(shared.points_full(i), 1);
      ptx::mbarrier_init(shared.points_empty(i), kSm90Groups<Pieces>);
    }
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
  sm90_work const work = sm90_share<kSm90Threads<Pieces>>(p, scalars);
  if (l.cluster > 1) ptx::cluster_sync();
#ifdef FK_CLOCK
  if (threadIdx.x == 128 && blockIdx.x == 7) fk_clocks[140] = clock64() - t0;
#endif

  if (sm90_uniform(static_cast<int>(threadIdx.x) / 128) == 0) {
    ptx::fewer_registers<56>();
    if (threadIdx.x == 0) sm90_load_stages<Operand, Pieces>(p, shared, work, rank);
    if (threadIdx.x == 32 && l.keep_points) {
      sm90_load_points<Operand, Pieces>(p, shared, work, rank);
    }
  } else {
    ptx::more_registers<Pieces == 1 ? 152 : 224>();
    sm90_consumer<Operand, Pieces> consumer(p, shared);
    consumer.run(work, rank, scalars);
  }
#ifdef FK_CLOCK
  if (threadIdx.x == 128) fk_clocks[blockIdx.x] = clock64() - t0;
#endif
  // A block that has ended can take no arrivals from the others.
  if (l.cluster > 1) ptx::cluster_sync();
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
