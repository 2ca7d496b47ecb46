// Stable counting sort of one span of points, or of what changed in it, by bucket, by one block.
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
//   sorted  [tile] item          steps 3 and 4, over counts: what is sorted, with its bucket
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/cluster.cuh"
#include "../reduce.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSortWarps = 16;  // of a block, at most

// Of a multiprocessor, where 64 registers are enough.
inline constexpr int kSortBlocks = FLASH_KMEANS_HAS_CLUSTERS ? 2 : 1;

// Bytes of shared memory of a block of some warps whose tiles have up to `tile` points.
constexpr std::int64_t sort_shared_bytes(std::int64_t buckets, std::int64_t warps,
                                         std::int64_t tile, std::int64_t item_bytes) {
  std::int64_t const counts = 4 * warps * ((buckets + 1) / 2), sorted = item_bytes * tile;
  return 8 * buckets + (counts > sorted ? counts : sorted);
}

// Bits: that hold a bucket. Together: all spans of a problem are blocks of one cluster and have one
// tile each. Otherwise count_span has counted them. Points: whose buckets, and what becomes of them
// (counted_points of counting.cuh, or one like it).
template <int Bits, bool Together, class Points>
class sort_span {
 public:
  __device__ sort_span(counting_params const& p, Points const& points, std::uint32_t problem,
                       std::uint32_t span)
      : p_(p), points_(points), problem_(problem), span_(span) {}

  // By all threads of the block.
  __device__ void sort() {
    std::uint32_t const first = points_.first(span_), last = points_.last(span_);
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
    std::uint32_t ranked[Points::kRounds];
    rank(begin, end, ranked);
    place_in_tile(end - begin, [&](std::uint32_t j, std::uint32_t start, std::uint32_t count) {
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
                       std::uint32_t (&ranked)[Points::kRounds]) {
    auto* const words = count_words();
    for (std::uint32_t i = threadIdx.x; i < warps() * p_.stride / 2; i += threads()) words[i] = 0;
    std::uint32_t const points = warp_points(begin, end), from = begin + warp() * points;
    auto const bucket_of = points_.buckets();
#pragma unroll
    for (int r = 0; r < Points::kRounds; ++r) {
      std::uint32_t const i = from + r * 32 + lane();
      ranked[r] = r * 32 < points && i < end ? bucket_of(i) : 0;
    }
    __syncthreads();
    std::uint16_t* const own = counts(warp());
#pragma unroll
    for (int r = 0; r < Points::kRounds; ++r) {
      if (r * 32 >= points) break;
      std::uint32_t const bucket = ranked[r];
      bool const inside = from + r * 32 + lane() < end;
      std::uint32_t const earlier = count_points(own, bucket, inside, Bits);
      ranked[r] = bucket << 16 | earlier;
    }
    __syncthreads();
  }

  // Step 2. counted(bucket, its first place in the tile, its points in the tile). Threads take two
  // neighbouring buckets at a time, here and in find_bases. Where their number is odd, what these
  // have not is in the rest, for which no round of the loop is begun.
  template <class Counted>
  __device__ void place_in_tile(std::uint32_t points, Counted&& counted) {
    auto* const words = count_words();
    std::uint32_t const pairs = p_.paired() / 2, words_of_warp = p_.stride / 2;
    std::uint32_t before = 0;
    for (std::uint32_t first = 0; first < pairs; first += threads()) {
      std::uint32_t const pair = first + threadIdx.x;
      bool const inside = pair < pairs;
      std::uint32_t count = 0;
      if (inside) {
#pragma unroll 8
        for (std::uint32_t w = 0; w < warps(); ++w) count += words[w * words_of_warp + pair];
      }
      std::uint32_t const low = count & 0xffffu, high = count >> 16;
      std::uint32_t all;
      std::uint32_t const start = before + block_exclusive_sum(low + high, all);
      before += all;
      if (!inside) continue;
      sums_before<Points::kRounds / 4>(words, pair, words_of_warp, warps(),
                                       (start + low) << 16 | start);
      counted(2 * pair, start, low);
      counted(2 * pair + 1, start + low, high);
    }
    if (!Points::kRest || p_.buckets % 2 == 0 || threadIdx.x != 0) return;
    std::uint32_t const rest = p_.buckets - 1;
    std::uint32_t place = before;
    for (std::uint32_t w = 0; place < points && w < warps(); ++w) {
      std::uint32_t const count = counts(w)[rest];
      counts(w)[rest] = static_cast<std::uint16_t>(place);
      place += count;
    }
    counted(rest, before, points - before);
  }

  // found(bucket, place in `order` of its first point in this span).
  template <class Found>
  __device__ void find_bases(Found&& found) {
    // Rows to add up: those of groups, and of the own group's earlier spans; together, all spans.
    std::uint32_t const group = Together ? 0 : span_ / kSpansOfGroup;
    std::uint32_t const first_span = group * kSpansOfGroup;
    std::uint32_t const spans = Together ? p_.spans : span_ - first_span;
    auto const begins = points_.begins();
    std::uint32_t const paired = p_.paired();
    std::uint32_t before = 0;
    for (std::uint32_t first = 0; first < paired; first += 2 * threads()) {
      std::uint32_t const pair = first + 2 * threadIdx.x;
      std::uint32_t count[2] = {}, earlier[2] = {};
      if (pair < paired) {
        // rows_before: of these rows, so many are of earlier spans.
        auto const add_rows = [&](std::uint32_t const* row, std::uint32_t rows, bool in_all,
                                  std::uint32_t rows_before) {
          row += pair;
          constexpr std::uint32_t kRead = Points::kRounds / 2;  // at once
          for (std::uint32_t from = 0; from < rows; from += kRead) {
            uint2 of[kRead];
#pragma unroll
            for (std::uint32_t r = 0; r < kRead; ++r, row += p_.stride) {
              of[r] = {};
              if (from + r < rows) of[r] = __ldcg(reinterpret_cast<uint2 const*>(row));
            }
#pragma unroll
            for (std::uint32_t r = 0; r < kRead; ++r) {
              bool const is_before = from + r < rows_before;
              if (in_all) count[0] += of[r].x, count[1] += of[r].y;
              earlier[0] += is_before ? of[r].x : 0;
              earlier[1] += is_before ? of[r].y : 0;
            }
          }
        };
        if constexpr (!Together) {
          add_rows(p_.counts_of_group(problem_, 0), p_.groups(), true, group);
        }
        add_rows(p_.counts_of(problem_, first_span), spans, Together, span_ - first_span);
      }
      std::uint32_t all;
      std::uint32_t offset = before + block_exclusive_sum(count[0] + count[1], all);
      before += all;
#pragma unroll
      for (std::uint32_t i = 0; i < 2; ++i) {
        std::uint32_t const j = pair + i;
        if (j >= paired) break;
        found(j, offset + earlier[i]);
        if (span_ == 0) begins(j, offset, count[i]);
        offset += count[i];
      }
    }
    if (warp() != 0) return;
    if (Points::kRest && paired < p_.buckets) {
      std::uint32_t earlier = 0;
      if (before < p_.n) {
        std::uint32_t const* const of_rest = p_.counts_of(problem_, 0) + paired;
#pragma unroll 1
        for (std::uint32_t s = lane(); s < span_; s += 32) {
          earlier += __ldcg(of_rest + std::int64_t{s} * p_.stride);
        }
        earlier = group_sum(earlier, 32);
      }
      if (lane() == 0) found(paired, before + earlier);
      if (span_ == 0 && lane() == 0) begins(paired, before, p_.n - before);
    }
    if (span_ == 0 && lane() == 0) points_.end();
  }

  // Step 3.
  __device__ void put_in_places(std::uint32_t begin, std::uint32_t end,
                                std::uint32_t (&ranked)[Points::kRounds]) {
    std::uint32_t const points = warp_points(begin, end), from = warp() * points;
    std::uint32_t const count = end - begin;
    std::uint16_t const* const own = counts(warp());
#pragma unroll
    for (int r = 0; r < Points::kRounds; ++r) {
      if (r * 32 >= points || from + r * 32 + lane() >= count) break;
      ranked[r] += own[ranked[r] >> 16];
    }
    __syncthreads();  // counts have been read
    auto const item_of = points_.items(begin);
#pragma unroll
    for (int r = 0; r < Points::kRounds; ++r) {
      std::uint32_t const i = from + r * 32 + lane();
      if (r * 32 >= points || i >= count) break;
      sorted()[ranked[r] & 0xffffu] = item_of(ranked[r] & 0xffff0000u, i);
    }
  }

  // Step 4.
  __device__ void write(std::uint32_t begin, std::uint32_t end) {
    std::uint32_t const count = end - begin;
    auto const put = points_.puts(begin);
#pragma unroll 4
    for (std::uint32_t i = threadIdx.x; i < count; i += threads()) {
      auto const item = sorted()[i];
      put(item, i + shift()[points_.bucket_of(item)]);
    }
  }

  static __device__ std::uint32_t threads() { return blockDim.x; }
  static __device__ std::uint32_t warps() { return blockDim.x / 32; }
  static __device__ std::uint32_t lane() { return threadIdx.x % 32; }
  static __device__ std::uint32_t warp() { return threadIdx.x / 32; }

  __device__ std::uint32_t* base() const {
    extern __shared__ std::uint32_t shared_words[];
    return shared_words;
  }
  __device__ std::uint32_t* shift() const { return base() + p_.buckets; }
  __device__ std::uint32_t* count_words() const { return shift() + p_.buckets; }
  __device__ std::uint16_t* counts(std::uint32_t warp) const {
    return reinterpret_cast<std::uint16_t*>(count_words()) + warp * p_.stride;
  }
  __device__ auto* sorted() const {
    return reinterpret_cast<typename Points::item*>(count_words());
  }

  counting_params const& p_;
  Points points_;
  std::uint32_t problem_, span_;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
