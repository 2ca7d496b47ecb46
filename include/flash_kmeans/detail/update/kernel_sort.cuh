// Stable counting sort of the points of every problem by bucket.
//
// A block takes its span a tile at a time and sorts the tile in shared memory, so that global memory
// sees runs of neighbouring points and not one write a point:
//   1. every warp takes its points in order, 32 at a time, and counts how many of its own with the
//      same bucket came before each of them;
//   2. per bucket, counts of the warps become places in the tile;
//   3. points go to their places in the tile;
//   4. and from there, side by side, to their places in `order`.
//
// Shared memory:
//   base    [buckets] u32        place in `order` of the next tile's first point of a bucket
//   shift   [buckets] u32        from a place in the tile to one in `order`
//   counts  [warps][stride] u16  steps 1 and 2
//   sorted  [tile] u32           steps 3 and 4, over counts: bucket and point
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/cluster.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSortRounds = 16;    // of 32 points that a warp takes of a tile, at most
inline constexpr int kSortWarps = 16;     // of a block, at most
inline constexpr int kSortMostBits = 11;  // of a bucket

// Bytes of shared memory of a block of some warps whose tiles have up to `tile` points.
constexpr std::int64_t sort_shared_bytes(std::int64_t buckets, std::int64_t warps,
                                         std::int64_t tile) {
  std::int64_t const counts = 4 * warps * ((buckets + 1) / 2), sorted = 4 * tile;
  return 8 * buckets + (counts > sorted ? counts : sorted);
}

// Together: all spans of a problem are blocks of one cluster and have one tile each. Otherwise
// kernel_count has counted them. Bits: that hold a bucket.
template <int Bits, bool Together>
class sort_block {
 public:
  __device__ explicit sort_block(counting_params const& p)
      : p_(p), problem_(blockIdx.x / p.spans), span_(blockIdx.x - problem_ * p.spans) {}

  __device__ bool skips() const { return p_.skips(problem_); }

  __device__ void sort() {
    std::uint32_t const first = min(span_ * p_.span, p_.n), last = min(first + p_.span, p_.n);
    if constexpr (Together) {
      sort_tile(first, last);
    } else {
      find_bases([&](std::uint32_t j, std::uint32_t place) { base()[j] = place; });
      for (std::uint32_t begin = first; begin < last; begin += p_.tile) {
        __syncthreads();  // the tile before has been written
        sort_tile(begin, min(begin + p_.tile, last));
      }
    }
  }

 private:
  __device__ void sort_tile(std::uint32_t begin, std::uint32_t end) {
    std::uint32_t* const own = p_.counts_of(problem_, span_);
    std::uint32_t ranked[kSortRounds];
    rank(begin, end, ranked);
    place_in_tile([&](std::uint32_t j, std::uint32_t start, std::uint32_t count) {
      if constexpr (Together) {
        shift()[j] = 0u - start;
        own[j] = count;
      } else {
        shift()[j] = base()[j] - start;
        base()[j] += count;
      }
    });
    __syncthreads();
    put_in_places(begin, end, ranked);
    if constexpr (Together) {
      if (p_.spans > 1) {
        __threadfence();
        ptx::cluster_sync();
      }
      find_bases([&](std::uint32_t j, std::uint32_t place) { shift()[j] += place; });
    }
    __syncthreads();
    write(begin, end);
  }

  // Points of a tile that one warp takes, whole rounds.
  __device__ std::uint32_t warp_points(std::uint32_t begin, std::uint32_t end) const {
    return ((end - begin + threads() - 1) / threads()) * 32;
  }

  // Step 1. ranked: of every round, bucket << 16 | earlier points of this warp in the bucket.
  __device__ void rank(std::uint32_t begin, std::uint32_t end,
                       std::uint32_t (&ranked)[kSortRounds]) {
    auto* const words = sorted();
    for (std::uint32_t i = threadIdx.x; i < warps() * stride() / 2; i += threads()) words[i] = 0;
    std::uint32_t const points = warp_points(begin, end), from = begin + warp() * points;
    std::int32_t const* const labels = p_.labels + std::int64_t{problem_} * p_.n;
#pragma unroll
    for (int r = 0; r < kSortRounds; ++r) {
      std::uint32_t const i = from + r * 32 + lane();
      ranked[r] = r * 32 < points && i < end ? p_.bucket(labels[i]) : 0;
    }
    __syncthreads();
    std::uint16_t* const own = counts();
#pragma unroll
    for (int r = 0; r < kSortRounds; ++r) {
      if (r * 32 >= points) break;
      std::uint32_t const bucket = ranked[r];
      bool const inside = from + r * 32 + lane() < end;
      std::uint32_t const earlier = count_points(own, bucket, inside, Bits);
      ranked[r] = bucket << 16 | earlier;
    }
    __syncthreads();
  }

  // Step 2. counted(bucket, its first place in the tile, its points in the tile). Threads take two
  // neighbouring buckets at a time, here and in find_bases.
  template <class Counted>
  __device__ void place_in_tile(Counted&& counted) {
    auto* const words = sorted();
    std::uint32_t const pairs = stride() / 2;
    std::uint32_t before = 0;
    for (std::uint32_t first = 0; first < pairs; first += threads()) {
      std::uint32_t const pair = first + threadIdx.x;
      bool const inside = pair < pairs;
      std::uint32_t count = 0;
#pragma unroll 8
      for (std::uint32_t w = 0; w < warps(); ++w) {
        count += inside ? words[w * pairs + pair] : 0;
      }
      std::uint32_t const low = count & 0xffffu, high = count >> 16;
      std::uint32_t all;
      std::uint32_t const start = before + block_exclusive_sum(low + high, all);
      before += all;
      if (!inside) continue;
      std::uint32_t place = (start + low) << 16 | start;
      constexpr std::uint32_t kRead = 4;
      for (std::uint32_t from = 0; from < warps(); from += kRead) {
        std::uint32_t of[kRead];
#pragma unroll
        for (std::uint32_t w = 0; w < kRead; ++w) {
          of[w] = from + w < warps() ? words[(from + w) * pairs + pair] : 0;
        }
#pragma unroll
        for (std::uint32_t w = 0; w < kRead; ++w) {
          if (from + w < warps()) words[(from + w) * pairs + pair] = place;
          place += of[w];
        }
      }
      counted(2 * pair, start, low);
      if (2 * pair + 1 < p_.buckets) counted(2 * pair + 1, start + low, high);
    }
  }

  // found(bucket, place in `order` of its first point in this span).
  template <class Found>
  __device__ void find_bases(Found&& found) {
    // Rows to add up: those of groups, and of the own group's earlier spans; together, all spans.
    std::uint32_t const group = Together ? 0 : span_ / kSpansOfGroup;
    std::uint32_t const first_span = group * kSpansOfGroup;
    std::uint32_t const spans = Together ? p_.spans : span_ - first_span;
    std::uint32_t* const offsets = p_.offsets + std::int64_t{problem_} * (p_.buckets + 1);
    std::int64_t const b = p_.first + problem_;
    std::uint32_t before = 0;
    for (std::uint32_t first = 0; first < p_.buckets; first += 2 * threads()) {
      std::uint32_t const pair = first + 2 * threadIdx.x;
      std::uint32_t count[2] = {}, earlier[2] = {};
#pragma unroll
      for (std::uint32_t i = 0; i < 2; ++i) {
        std::uint32_t const j = pair + i;
        if (j >= p_.buckets) break;
        if constexpr (!Together) {
          std::uint32_t const* const of_groups = p_.counts_of_group(problem_, 0) + j;
#pragma unroll 8
          for (std::uint32_t g = 0; g < p_.groups(); ++g) {
            std::uint32_t const of = __ldcg(of_groups + g * p_.buckets);
            count[i] += of;
            earlier[i] += g < group ? of : 0;
          }
        }
        std::uint32_t const* const of_spans = p_.counts_of(problem_, first_span) + j;
#pragma unroll 8
        for (std::uint32_t s = 0; s < spans; ++s) {
          std::uint32_t const of = __ldcg(of_spans + s * p_.buckets);
          if (Together) count[i] += of;
          earlier[i] += first_span + s < span_ ? of : 0;
        }
      }
      std::uint32_t all;
      std::uint32_t offset = before + block_exclusive_sum(count[0] + count[1], all);
      before += all;
#pragma unroll
      for (std::uint32_t i = 0; i < 2; ++i) {
        std::uint32_t const j = pair + i;
        if (j >= p_.buckets) break;
        found(j, offset + earlier[i]);
        if (span_ == 0) {
          offsets[j] = offset;
          if (p_.index.offsets != nullptr && j <= p_.k) {
            p_.index.offsets[b * (p_.k + 1) + j] = offset;
          }
          if (p_.index.counts != nullptr && j < p_.k) p_.index.counts[b * p_.k + j] = count[i];
        }
        offset += count[i];
      }
    }
    if (span_ == 0 && threadIdx.x == 0) {
      offsets[p_.buckets] = p_.n;
      if (p_.index.offsets != nullptr && p_.buckets == p_.k) {
        p_.index.offsets[b * (p_.k + 1) + p_.k] = p_.n;
      }
    }
  }

  // Step 3.
  __device__ void put_in_places(std::uint32_t begin, std::uint32_t end,
                                std::uint32_t (&ranked)[kSortRounds]) {
    std::uint32_t const points = warp_points(begin, end), from = warp() * points;
    std::uint32_t const count = end - begin;
    std::uint16_t const* const own = counts();
#pragma unroll
    for (int r = 0; r < kSortRounds; ++r) {
      if (r * 32 >= points || from + r * 32 + lane() >= count) break;
      ranked[r] += own[ranked[r] >> 16];
    }
    __syncthreads();  // counts have been read
#pragma unroll
    for (int r = 0; r < kSortRounds; ++r) {
      std::uint32_t const i = from + r * 32 + lane();
      if (r * 32 >= points || i >= count) break;
      sorted()[ranked[r] & 0xffffu] = (ranked[r] & 0xffff0000u) | i;
    }
  }

  // Step 4.
  __device__ void write(std::uint32_t begin, std::uint32_t end) {
    std::uint32_t const count = end - begin;
    std::int64_t const whole = (p_.first + problem_) * p_.n;  // batch: of its problem
    std::uint32_t* const order = p_.order + std::int64_t{problem_} * p_.n;
#pragma unroll 4
    for (std::uint32_t i = threadIdx.x; i < count; i += threads()) {
      std::uint32_t const entry = sorted()[i];
      std::uint32_t const place = i + shift()[entry >> 16], point = begin + (entry & 0xffffu);
      order[place] = point;
      if (p_.index.order != nullptr) {
        p_.index.order[whole + place] = static_cast<std::int32_t>(point);
      }
      if (p_.index.inverse != nullptr) {
        p_.index.inverse[whole + point] = static_cast<std::int32_t>(place);
      }
    }
  }

  static __device__ std::uint32_t threads() { return blockDim.x; }
  static __device__ std::uint32_t warps() { return blockDim.x / 32; }
  static __device__ std::uint32_t lane() { return threadIdx.x % 32; }
  static __device__ std::uint32_t warp() { return threadIdx.x / 32; }

  __device__ std::uint32_t stride() const { return (p_.buckets + 1) / 2 * 2; }
  __device__ std::uint32_t* base() const {
    extern __shared__ std::uint32_t shared_words[];
    return shared_words;
  }
  __device__ std::uint32_t* shift() const { return base() + p_.buckets; }
  __device__ std::uint32_t* sorted() const { return shift() + p_.buckets; }
  // Of this warp.
  __device__ std::uint16_t* counts() const {
    return reinterpret_cast<std::uint16_t*>(sorted()) + warp() * stride();
  }

  counting_params const& p_;
  std::uint32_t problem_, span_;
};

// Two blocks a multiprocessor, where 64 registers are enough.
inline constexpr int kSortBlocks = FLASH_KMEANS_HAS_CLUSTERS ? 2 : 1;

// One block a span.
template <int MostThreads, int Bits, bool Together>
FLASH_KMEANS_KERNEL void __launch_bounds__(MostThreads, kSortBlocks)
    sort_kernel(counting_params const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  sort_block<Bits, Together> block(p);
  if (!block.skips()) block.sort();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
