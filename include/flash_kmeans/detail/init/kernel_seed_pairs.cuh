// A step of k-means++ over all points on the tensor cores, half and bfloat16: takes the last
// centroids into the distances, and sums what potentials would be left if each of the step's
// candidates became the next centroid. With proposals for the step after it (see
// detail/seeding.hpp), also what each candidate would leave together with each proposal: that is the
// next step's sums for the proposals that are kept, whichever candidate is chosen, without another
// pass over the points.
//
// A warp multiplies 16 points by three blocks of 8 columns: candidates, proposals (or more
// candidates), and the last two centroids, which cost no memory traffic that way. A lane has two
// points, and of each two neighbouring columns of a block; the four lanes of a point tell each
// other the distances of their candidates. Distances never leave the registers.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "seed_mma.cuh"
#include "seed_points.cuh"
#include "seed_stream.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSeedWide = 2 * kMostPaired;  // candidates that are measured at once
inline constexpr int kSeedBlocksOfColumns = 3;
// Up to so many features the columns lie in shared memory, as fragments in the order of their use.
inline constexpr int kSeedFragmentFeatures = 512;

// Dynamic shared memory of seed_pairs_kernel.
inline std::size_t seed_pairs_bytes(std::int32_t d) {
  std::size_t const chunks = d <= kSeedFragmentFeatures ? ceil_div(d, 32) : 0;
  return kSeedStreamBytes + chunks * kSeedBlocksOfColumns * kSeedSlotBytes;
}

template <class T>
struct seed_pairs_params {
  seed_points<T> points;
  std::int32_t const* used;  // [b] or null: points from there on weigh nothing
  std::int32_t step;
  std::int32_t candidates;
  std::uint32_t share;  // blocks of points of a thread block
  bool pairs;           // with proposals, as many as candidates

  // How often the points are gone over.
  __device__ int times() const { return pairs ? 1 : (candidates + kSeedWide - 1) / kSeedWide; }
  // Whether the step was taken with the one before it.
  __device__ bool is_done(std::int64_t b) const { return step < points.chosen[b]; }
  __device__ std::int64_t end(std::int64_t b) const { return used == nullptr ? points.n : used[b]; }
};

#if FLASH_KMEANS_HAS_MMA_SYNC

// Sums of a lane over a span.
struct seed_sums {
  float candidates[4] = {};   // two of either block
  float pairs[4][2][2] = {};  // [distance of the lane with the candidate][candidate][proposal]
};

// Writes the span's sums. base: the first candidate that was measured.
template <class T>
__device__ void store_sums(seed_sums const& sums, double* to, std::int32_t base,
                           seed_pairs_params<T> const& params) {
  int const own = threadIdx.x % 4, of_columns = threadIdx.x % 32 / 4;
  double candidates[8] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) candidates[i] = sums.candidates[i];
  scatter_sums<16, 4>(candidates);  // over the 8 lanes of the same columns
  std::int32_t const candidate = base + of_columns / 2 * kMostPaired + own * 2 + of_columns % 2;
  if (of_columns < (params.pairs ? 2 : 4) && candidate < params.candidates) {
    to[candidate] = candidates[0];
  }
  if (!params.pairs) return;
  double pairs[16];
#pragma unroll
  for (int i = 0; i < 16; ++i) pairs[i] = sums.pairs[i / 4][i / 2 % 2][i % 2];
  scatter_sums<16, 4>(pairs);
  // Of one candidate and two proposals.
  std::int32_t const with = (own ^ of_columns / 2) * 2 + of_columns % 2;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    std::int32_t const proposal = own * 2 + i;
    if (with < params.candidates && proposal < params.candidates) {
      to[params.points.pair_column(with, proposal)] = pairs[i];
    }
  }
}

// 16 points of a warp.
template <class T>
struct seed_tile {
  using products = mma_products<T>;
  static constexpr int kRows = seed_stream<T>::kRows, kBlocks = kSeedBlocksOfColumns;

  seed_pairs_params<T> const& params;
  std::int64_t problem;  // its first point among those of all problems
  std::uint32_t first;   // this lane's first point
  std::uint32_t end;
  int own;  // of the four lanes of a point

  __device__ seed_tile(seed_pairs_params<T> const& params_, std::int64_t b, std::uint32_t tile,
                       std::uint32_t end_)
      : params(params_),
        problem(b * params.points.n),
        first(tile + products::row(0)),
        end(end_),
        own(threadIdx.x % products::kLanes) {}

  // columns: as fragments in shared memory, or their rows.
  __device__ void multiply(float (&dots)[kBlocks][4], seed_stream<T>& stream,
                           std::uint32_t fragments, T const* const* column_rows) const {
    seed_points<T> const& p = params.points;
#pragma unroll 1
    for (std::int32_t feature = 0; feature < p.d; feature += kSeedChunks * products::kChunk) {
      std::uint32_t const from = stream.take(params);
#pragma unroll
      for (int chunk = 0; chunk < kSeedChunks; ++chunk) {
        std::int32_t const at = feature + chunk * products::kChunk;
        if (at >= p.d) break;
        uint4 values[kBlocks];
        if (p.d <= kSeedFragmentFeatures) {
#pragma unroll
          for (int c = 0; c < kBlocks; ++c) {
            values[c] = ptx::load_shared_16(fragments + (chunk * kBlocks + c) * kSeedSlotBytes);
          }
        } else {
          // One piece of code for all.
#pragma unroll 1
          for (int c = 0; c < kBlocks; ++c) {
            uint4 const bits =
                products::padded(column_rows[c * 8 + threadIdx.x % 32 / products::kLanes],
                                 at + own * products::V, p);
            if (c == 0) values[0] = bits;
            if (c == 1) values[1] = bits;
            if (c == 2) values[2] = bits;
          }
        }
        uint4 const upper = ptx::load_shared_16(from + chunk * kRows * kSeedSlotBytes);
        uint4 const lower = ptx::load_shared_16(from + (chunk * kRows + 1) * kSeedSlotBytes);
#pragma unroll
        for (int c = 0; c < kBlocks; ++c) products::multiply(dots[c], upper, lower, values[c]);
      }
      fragments += kSeedChunks * kBlocks * kSeedSlotBytes;
    }
  }

  // Takes the last centroids into the distances and adds what is left to the sums. base: the first
  // candidate that was measured.
  template <bool Cosine>
  __device__ void add_up(seed_sums& sums, float const (&dots)[kBlocks][4], seed_stream<T>& stream,
                         float const* column_norms, std::int32_t base) const {
    seed_points<T> const& p = params.points;
    float distances[kRows], norms[kRows], columns[kBlocks][2];
    stream.take_facts(distances, norms);
#pragma unroll
    for (int c = 0; c < kBlocks; ++c) {
#pragma unroll
      for (int side = 0; side < 2; ++side) columns[c][side] = column_norms[c * 8 + own * 2 + side];
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      bool const is_row = first + 8 * r < end;
      std::int64_t const row = problem + (is_row ? first + 8 * r : end - 1);
      float near = is_row ? distances[r] : 0;  // which weighs nothing
      float const weight = p.weights != nullptr ? p.weights[row] : 1;
      auto const distance = [&](int c, int side) {
        return products::distance(dots[c][r * 2 + side], norms[r], columns[c][side], Cosine);
      };
      if (params.step > 0) {
        float const one = distance(2, 0), other = distance(2, 1);
        float const last =
            __shfl_sync(0xffffffffu, other < one ? other : one, threadIdx.x % 32 - own);
        if (last < near) {
          near = last;
          if (base == 0 && own == 0 && is_row) p.nearest[row] = last;
        }
      }
      float const reach = fmaxf(near, 0);
      // What is infinitely far from all weighs nothing.
      float left[4][2];
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        float const least = fminf(reach, distance(0, side));
        left[0][side] = least < kInfinity<float> ? least : 0;
        sums.candidates[side] = fmaf(weight, left[0][side], sums.candidates[side]);
      }
      if (params.pairs) {
#pragma unroll
        for (int far = 0; far < 4; ++far) {
#pragma unroll
          for (int side = 0; side < 2; ++side) {
            if (far > 0) left[far][side] = __shfl_xor_sync(0xffffffffu, left[0][side], far);
#pragma unroll
            for (int other = 0; other < 2; ++other) {
              float& sum = sums.pairs[far][side][other];
              sum = fmaf(weight, fminf(left[far][side], distance(1, other)), sum);
            }
          }
        }
      } else {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          float const least = fminf(reach, distance(1, side));
          float& sum = sums.candidates[2 + side];
          sum = fmaf(weight, least < kInfinity<float> ? least : 0, sum);
        }
      }
    }
  }
};

#endif

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(FLASH_KMEANS_HAS_MMA_SYNC ? kSeedThreads : 32,
                                           FLASH_KMEANS_HAS_MMA_SYNC ? 2 : 1)
    seed_pairs_kernel(seed_pairs_params<T> const params) {
#if FLASH_KMEANS_HAS_MMA_SYNC
  using products = mma_products<T>;
  constexpr int kBlocks = kSeedBlocksOfColumns, kColumns = kBlocks * 8;
  // [warps] of seed_stream, then column_fragments
  extern __shared__ __align__(16) unsigned char seed_memory[];
  auto* const column_fragments = reinterpret_cast<uint4*>(seed_memory + kSeedStreamBytes);
  std::uint32_t const fragments = ptx::shared_address(column_fragments) + threadIdx.x % 32 * 16;
  __shared__ T const* column_rows[kColumns];
  __shared__ float column_norms[kColumns];
  seed_points<T> const& p = params.points;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  seed_stream<T> stream(params, seed_memory);
  seed_piece piece;
  for (std::uint32_t next = blockIdx.x * params.share; take_piece(piece, next, params);) {
    std::int64_t const b = piece.problem;
    auto const first_block = static_cast<std::uint32_t>(piece.begin / p.block);
    std::uint32_t const taken =
        next - first_block - piece.problem * static_cast<std::uint32_t>(p.blocks);
    for (int time = 0; time < params.times(); ++time) {
      std::int32_t const base = time * kSeedWide;
      __syncthreads();
      if (threadIdx.x < kColumns) {
        std::int32_t const column = threadIdx.x;
        std::int32_t point;
        if (column >= kSeedWide) {
          point = params.step == 0 ? 0 : p.last_centroids(b)[column == kSeedWide ? 0 : 1];
        } else if (params.pairs && column >= kMostPaired) {
          point = p.proposals(b)[min(column - kMostPaired, params.candidates - 1)];
        } else {
          point = p.candidates(b)[min(base + column, params.candidates - 1)];
        }
        column_rows[column] = p.x.problem(b) + point * p.x.ld;
        column_norms[column] = p.norms[b * p.n + point];
      }
      __syncthreads();
      if (p.d <= kSeedFragmentFeatures) {
        std::int32_t const units = ceil_div(p.d, products::kChunk) * kBlocks * 32;
#pragma unroll 1
        for (std::int32_t i = threadIdx.x; i < units; i += kSeedThreads) {
          std::int32_t const column = i / 32 % kBlocks * 8 + i % 32 / products::kLanes;
          std::int32_t const feature =
              i / (32 * kBlocks) * products::kChunk + i % products::kLanes * products::V;
          column_fragments[i] = products::padded(column_rows[column], feature, p);
        }
        __syncthreads();
      }
      std::uint32_t const last = piece.begin + taken * static_cast<std::uint32_t>(p.block);
      for (std::uint32_t span = piece.begin + threadIdx.x / 32 * kSeedSpan;
           span < last && span < p.n; span += kSeedThreads / 32 * kSeedSpan) {
        seed_sums sums;
#pragma unroll 1
        for (std::uint32_t tile = span; tile < span + kSeedSpan && tile < piece.end;
             tile += kSeedTile) {
          seed_tile<T> const t(params, b, tile, piece.end);
          float dots[kBlocks][4] = {};
          t.multiply(dots, stream, fragments, column_rows);
          if (p.cosine) {
            t.template add_up<true>(sums, dots, stream, column_norms, base);
          } else {
            t.template add_up<false>(sums, dots, stream, column_norms, base);
          }
        }
        store_sums(sums, p.sums_of_span(b, span / kSeedSpan), base, params);
      }
    }
    for (std::uint32_t i = 0; i < taken; ++i) {
      p.add_spans(b, first_block + i, params.pairs ? p.columns : params.candidates);
    }
  }
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
