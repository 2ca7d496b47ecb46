// Assignment on the tensor cores of Ampere and later: cp.async, ldmatrix, mma.sync with fp32
// accumulation.
//
// A block of 4 warps takes 128 points and walks over all centroids, 128 at a time, 64 features a
// step. The warps stand 2 x 2, each with 64 points x 64 centroids in registers. When the points'
// features fit into the stages they are loaded once and stay; else they stream along with the
// centroids, by the same code.
//
// Shared memory (bytes):
//   points     slots x 16384   [slot][128][64], 16-byte units swizzled by row % 8;
//                              slot = feature step (resident) or stage (streamed)
//   centroids  stages x 16384  [stage][128][64], likewise
//   bias       stages x 512    [centroid tile % stages][128]
//   search     its own
// What becomes of the scores is a policy, Search. sm80_nearest keeps the nearest centroid in registers
// and reuses the centroids' space at the end to merge the two warps that share points;
// sm80_nearest_j keeps the j nearest in lists.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/cp_async.cuh"
#include "../ptx/mma_sync.cuh"
#include "argmin.cuh"
#include "nearest_j.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSm80Threads = 128;

struct sm80_shared {
  static constexpr int kRowBytes = kSm80Tile.d * 2;
  static constexpr int kPointBytes = kSm80Tile.n * kRowBytes;
  static constexpr int kCentroidBytes = kSm80Tile.k * kRowBytes;
  static constexpr int kBiasBytes = kSm80Tile.k * 4;

  FLASH_KMEANS_HOST_DEVICE static constexpr int feature_steps(std::int32_t d) {
    return (d + kSm80Tile.d - 1) / kSm80Tile.d;
  }
  FLASH_KMEANS_HOST_DEVICE static constexpr int point_slots(std::int32_t d, int stages) {
    return feature_steps(d) < stages ? feature_steps(d) : stages;
  }
  FLASH_KMEANS_HOST_DEVICE static constexpr int bytes(std::int32_t d, int stages) {
    return point_slots(d, stages) * kPointBytes + stages * (kCentroidBytes + kBiasBytes);
  }
};
static_assert(sm80_shared::kRowBytes == 128, "the swizzle is made for rows of 128 bytes");

// The warps stand 2 x 2. A thread has scores of 8 points ("slots"): rows lane / 4 and 8 + lane / 4
// of each of its warp's 16-row blocks.
inline constexpr int kSm80Slots = 8;

__device__ inline int sm80_row(int slot) {
  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  return (warp % 2) * 64 + (slot / 2) * 16 + (slot % 2) * 8 + lane / 4;
}

// Keeps the nearest centroid of each point.
template <class T>
class sm80_nearest : public nearest_units<T> {
 public:
  using typename nearest_units<T>::params;
  static constexpr int kStages = kSm80Tile.stages;
  static constexpr int kSharedBytes = 0;

  // c_space: the centroids', free at the end.
  __device__ sm80_nearest(params const& p, unsigned char* c_space, unsigned char*,
                          std::int64_t rows)
      : p_(p), c_space_(c_space), rows_(rows) {}

  template <int Steps, int, class Step, class Row>
  __device__ void take(Step&& step, Row&&) {
#pragma unroll
    for (int i = 0; i < Steps; ++i) {
      step(i, [&](int slot, float score, std::int32_t index) { best_[slot].offer(score, index); });
    }
  }

  __device__ void end(std::int64_t problem, std::int64_t point) {
    constexpr tile t = kSm80Tile;
    float* const scores = reinterpret_cast<float*>(c_space_);                         // [2][128]
    std::int32_t* const indices = reinterpret_cast<std::int32_t*>(scores + 2 * t.n);  // [2][128]
#pragma unroll
    for (int slot = 0; slot < kSm80Slots; ++slot) {
      best_[slot].merge_lanes(4);
      if (threadIdx.x % 4 == 0) {
        int const at = (threadIdx.x / 64) * t.n + sm80_row(slot);
        scores[at] = best_[slot].score;
        indices[at] = best_[slot].index;
      }
    }
    __syncthreads();
    int const row = threadIdx.x;
    if (row < rows_) {
      best_score<float> all{scores[row], indices[row]};
      all.merge(scores[t.n + row], indices[t.n + row]);
      p_.labels[problem * p_.n + point + row] = all.label(p_.none);
    }
    __syncthreads();  // the space is free for the next tile's loads
  }

 private:
  params const& p_;
  unsigned char* c_space_;
  std::int64_t rows_;
  best_score<float> best_[kSm80Slots];
};

// Keeps the j nearest. Two stages leave room for candidates within 99 KiB.
template <class T>
class sm80_nearest_j : public nearest_j<T, kSm80Tile.n, kSm80Threads, 32> {
  using base = nearest_j<T, kSm80Tile.n, kSm80Threads, 32>;

 public:
  static constexpr int kStages = 2;
  static constexpr int kSharedBytes = sizeof(typename base::shared);

  __device__ sm80_nearest_j(typename base::params const& p, unsigned char*, unsigned char* space,
                            std::int64_t rows)
      : base(p, *reinterpret_cast<typename base::shared*>(space), rows) {}
};

template <class Search>
constexpr int sm80_shared_bytes(std::int32_t d) {
  return sm80_shared::bytes(d, Search::kStages) + Search::kSharedBytes;
}
static_assert(sm80_shared_bytes<sm80_nearest<__half>>(4096) <= 99 * 1024 &&
              sm80_shared_bytes<sm80_nearest_j<__half>>(4096) <= 99 * 1024);

#if FLASH_KMEANS_HAS_MMA_SYNC

// Fills tiles of [128][64] 16-bit elements from one matrix: thread t copies unit t % 8 of rows
// t / 8 + 16 i.
template <class T, bool Aligned>
struct sm80_loader {
  T const* from;         // this thread's first element of the matrix
  std::int64_t ld_16;    // 16 rows
  std::uint32_t offset;  // of this thread's first unit in a tile, swizzled

  __device__ sm80_loader(T const* base, std::int64_t ld) {
    int const unit = threadIdx.x % 8, row = threadIdx.x / 8;
    from = base + row * ld + unit * 8;
    ld_16 = 16 * ld;
    offset = row * sm80_shared::kRowBytes + ((unit ^ (row & 7)) * 16);
  }

  // The tile at `at` elements from the matrix's start; rows and features beyond those left are
  // zero.
  __device__ void load(std::uint32_t shared, std::int64_t at, std::int64_t rows,
                       std::int32_t features) const {
    std::uint32_t const to = shared + offset;
    T const* source = from + at;
    if (Aligned && rows >= kSm80Tile.n && features >= kSm80Tile.d) {
#pragma unroll
      for (int i = 0; i < 8; ++i, source += ld_16) ptx::cp_async_16(to + i * kStride, source);
      return;
    }
    int const unit = threadIdx.x % 8, row = threadIdx.x / 8;
    int const rows_left = static_cast<int>(rows < kSm80Tile.n ? rows : kSm80Tile.n) - row;
    std::int32_t const left = features - unit * 8;
#pragma unroll
    for (int i = 0; i < 8; ++i, source += ld_16) {
      std::int32_t const inside = 16 * i < rows_left ? left : 0;
      if (Aligned && inside >= 8) {
        ptx::cp_async_16(to + i * kStride, source);
        continue;
      }
      std::uint32_t words[4] = {};
      if (!Aligned || inside > 0) {  // no branch around the reads where every unit has them
        unsigned short const* const bits = reinterpret_cast<unsigned short const*>(source);
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          std::uint32_t const low = 2 * w < inside ? bits[2 * w] : 0;
          std::uint32_t const high = 2 * w + 1 < inside ? bits[2 * w + 1] : 0;
          words[w] = low | (high << 16);
        }
      }
      ptx::store_shared_16(to + i * kStride, words);
    }
  }

  static constexpr int kStride = 16 * sm80_shared::kRowBytes;
};

#endif

// Aligned: every row of the points starts on 16 bytes. Centroids are always a packed copy.
template <class T, bool Aligned, class Search>
FLASH_KMEANS_KERNEL void __launch_bounds__(FLASH_KMEANS_HAS_MMA_SYNC ? kSm80Threads : 32,
                                           FLASH_KMEANS_HAS_MMA_SYNC ? 2 : 1)
    sm80_kernel(typename Search::params const p) {
#if FLASH_KMEANS_HAS_MMA_SYNC
  constexpr tile t = kSm80Tile;
  constexpr int kStages = Search::kStages;
  constexpr int kMRows = 4, kNCols = 8;  // 16-row and 8-column blocks of a warp's 64 x 64
  extern __shared__ __align__(128) unsigned char shared[];

  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int const warp_n = (warp % 2) * 64, warp_k = (warp / 2) * 64;
  int const steps = sm80_shared::feature_steps(p.d);
  bool const resident = steps <= kStages;
  std::uint32_t const xs = ptx::shared_address(shared);
  std::uint32_t const cs = xs + sm80_shared::point_slots(p.d, kStages) * sm80_shared::kPointBytes;
  unsigned char* const c_space = shared + (cs - xs);
  float* const bias_space =
      reinterpret_cast<float*>(c_space + kStages * sm80_shared::kCentroidBytes);
  std::uint32_t const bias_shared = cs + kStages * sm80_shared::kCentroidBytes;

  // ldmatrix addresses: lane l names row l % 16 (points) of a 16 x 16 block, its unit by l / 16;
  // for centroids the second 8 rows come from lanes 16-31 and the unit from bit 3. All block rows
  // are multiples of 8, so the swizzle depends on the lane alone, and 16 features further on the
  // address differs in bits 5 and 6 only.
  int const swizzle = lane & 7;
  std::uint32_t const x_lane =
      (warp_n + lane % 16) * sm80_shared::kRowBytes + ((lane >> 4) ^ swizzle) * 16;
  std::uint32_t const c_lane = (warp_k + (lane & 7) + ((lane >> 4) << 3)) * sm80_shared::kRowBytes +
                               (((lane >> 3) & 1) ^ swizzle) * 16;

  for (std::int64_t number = blockIdx.x; number < Search::units(p); number += gridDim.x) {
    search_unit const unit = Search::unit(p, number);
    std::int64_t const b = unit.tile / p.tiles_per_problem;
    if (p.skips(b)) continue;
    std::int64_t const first = (unit.tile - b * p.tiles_per_problem) * t.n;
    std::int64_t const rows = p.n - first;
    sm80_loader<T, Aligned> const x(p.x.problem(b) + first * p.x.ld, p.x.ld);
    sm80_loader<T, true> const c(p.c.problem(b), p.c.ld);
    float const* const bias = p.bias + b * p.bias_stride;
    // What is loaded next: step `load_step` of centroid tile `load_tile`.
    std::int32_t const first_tile = unit.first / t.k;
    std::int32_t load_tile = first_tile;
    int load_step = 0, load_stage = 0;
    auto load_next = [&] {
      if (load_tile * t.k < unit.last) {
        std::int32_t const k0 = load_tile * t.k, d0 = load_step * t.d;
        if (!resident || load_tile == first_tile) {
          x.load(xs + (resident ? load_step : load_stage) * sm80_shared::kPointBytes, d0, rows,
                 p.d - d0);
        }
        c.load(cs + load_stage * sm80_shared::kCentroidBytes, k0 * p.c.ld + d0, p.k - k0,
               static_cast<std::int32_t>(p.c.ld) - d0);
        if (load_step == 0) {
          ptx::cp_async_4(
              bias_shared + (load_tile % kStages) * sm80_shared::kBiasBytes + threadIdx.x * 4,
              bias + k0 + threadIdx.x);
        }
        if (++load_step == steps) {
          load_step = 0;
          ++load_tile;
        }
        load_stage = load_stage + 1 == kStages ? 0 : load_stage + 1;
      }
      ptx::cp_async_commit();
    };
    for (int s = 0; s < kStages - 1; ++s) load_next();

    Search search(p, c_space, shared + sm80_shared::bytes(p.d, kStages), rows);
    float dot[kMRows][kNCols][4] = {};
    std::int32_t at_tile = first_tile;
    int at_step = 0, stage = 0;
    while (at_tile * t.k < unit.last) {
      ptx::cp_async_wait<kStages - 2>();
      // The stage is here for all, and all are done with the one that load_next fills.
      __syncthreads();

      std::uint32_t const x_at =
          xs + (resident ? at_step : stage) * sm80_shared::kPointBytes + x_lane;
      std::uint32_t const c_at = cs + stage * sm80_shared::kCentroidBytes + c_lane;
      // 16 features at a time, read one ahead of the products.
      std::uint32_t a[2][kMRows][4], w[2][kNCols / 2][4];
      auto read = [&](int f, int to) {
#pragma unroll
        for (int m = 0; m < kMRows; ++m) {
          ptx::ldmatrix_x4(a[to][m], (x_at ^ (f * 32)) + m * 16 * sm80_shared::kRowBytes);
        }
#pragma unroll
        for (int h = 0; h < kNCols / 2; ++h) {
          ptx::ldmatrix_x4(w[to][h], (c_at ^ (f * 32)) + h * 16 * sm80_shared::kRowBytes);
        }
      };
      auto multiply = [&](int from) {
#pragma unroll
        for (int m = 0; m < kMRows; ++m) {
#pragma unroll
          for (int j = 0; j < kNCols; ++j) {
            ptx::mma_m16n8k16<T>(dot[m][j], a[from][m], w[from][j / 2][(j % 2) * 2],
                                 w[from][j / 2][(j % 2) * 2 + 1]);
          }
        }
      };
      read(0, 0);
      load_next();
      int const left = p.d - at_step * t.d;
      if (left > t.d - 16) {  // the usual case without a branch inside
#pragma unroll
        for (int f = 0; f < t.d / 16; ++f) {
          if (f + 1 < t.d / 16) read(f + 1, (f + 1) % 2);
          multiply(f % 2);
        }
      } else {
        multiply(0);
#pragma unroll 1
        for (int f = 1; f * 16 < left; ++f) {
          read(f, 0);
          multiply(0);
        }
      }

      if (++at_step == steps) {
        // A lane holds columns 2 (lane % 4) + {0, 1} of every block, of rows lane / 4 and 8 + lane
        // / 4. The bias is added here: as the products' starting value it would have to be in place
        // before the first of them, which measured 3 % slower.
        int const column = warp_k + (lane % 4) * 2;
        float const* const tile_bias = bias_space + (at_tile % kStages) * t.k + column;
        std::int32_t const k0 = at_tile * t.k + column;
        search.template take<kNCols, kSm80Slots>(
            [&](int j, auto&& visit) {
              float2 const bias_of_k = *reinterpret_cast<float2 const*>(tile_bias + j * 8);
#pragma unroll
              for (int m = 0; m < kMRows; ++m) {
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                  visit(2 * m + h, dot[m][j][2 * h] + bias_of_k.x, k0 + j * 8);
                  visit(2 * m + h, dot[m][j][2 * h + 1] + bias_of_k.y, k0 + j * 8 + 1);
                  dot[m][j][2 * h] = dot[m][j][2 * h + 1] = 0;
                }
              }
            },
            sm80_row);
        at_step = 0;
        ++at_tile;
      }
      stage = stage + 1 == kStages ? 0 : stage + 1;
    }

    ptx::cp_async_wait<0>();
    __syncthreads();  // all are done with the centroids' space
    search.end(b, first);
  }
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
