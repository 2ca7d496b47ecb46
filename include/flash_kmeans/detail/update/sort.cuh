// Stable sort of points by cluster: a counting sort for what is small enough, else a radix sort on
// just the bits that keys have.
#pragma once

#include <algorithm>
#include <cub/device/device_radix_sort.cuh>

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "counting.cuh"
#include "kernel_count.cuh"
#include "kernel_keys.cuh"
#include "kernel_sort.cuh"
#include "kernel_unpack.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

class point_sort {
 public:
  // For groups of up to `problems` problems of n points in `buckets` buckets. overlaps: kernels may
  // be launched so.
  point_sort(std::int64_t problems, std::int64_t n, std::int64_t k, std::int64_t buckets,
             std::int64_t multiprocessors, bool overlaps, arena& memory)
      : n_(static_cast<std::uint32_t>(n)),
        k_(static_cast<std::uint32_t>(k)),
        buckets_(static_cast<std::uint32_t>(buckets)),
        overlaps_(overlaps) {
    std::int64_t const count = problems * n;
    order_[0] = memory.take<std::uint32_t>(count);
    offsets_ = memory.take<std::uint32_t>(problems * (buckets + 1));
    std::int64_t const shared = most_shared_bytes();
    if (counts(shared)) {
      cut_into_spans(kBlocksOfSm * multiprocessors / problems, shared);
      counts_ = memory.take<std::uint32_t>(problems * spans_ * buckets);
      if (!together_) {
        groups_ = ceil_div(spans_, kSpansOfGroup);
        group_counts_ = memory.take<std::uint32_t>(problems * groups_ * buckets);
      }
      return;
    }
    order_[1] = memory.take<std::uint32_t>(count);
    for (std::uint32_t*& keys : keys_) keys = memory.take<std::uint32_t>(count);
    check_cuda(radix_sort(nullptr, temporary_bytes_, problems, nullptr), "sizing of the sort");
    temporary_ = memory.take<char>(static_cast<std::int64_t>(temporary_bytes_));
  }

  // What the host does once, before anything is queued.
  void prepare() const {
    if (warps_ > 0) allow_shared_bytes(sort_kernel_of_bits(), "sort_kernel", sort_bytes());
  }

  // Words that have to be zero before the first sort, for one problem.
  std::int64_t counters() const { return groups_; }

  // Sorts problems [first, first + problems) by their labels ([problems][n], of the group). status:
  // problems that have converged may keep the order that they have. index: by-products.
  sorted_points queue(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      fit_status const* status, cluster_index const& index, std::uint32_t* counters,
                      cudaStream_t stream) const {
    if (warps_ > 0) {
      queue_counting(labels, first, problems, status, index, counters, stream);
      return {order_[0], 0, offsets_, n_, k_, buckets_, first};
    }
    std::uint32_t const* const order = queue_radix(labels, first, problems, index, stream);
    return {order, n_, offsets_, n_, k_, buckets_, first};
  }

 private:
  // Whether the counting sort is the better one (measured on an H200) and fits: shared memory has to
  // hold counts of kFewestWarps at least.
  bool counts(std::int64_t shared) const {
    constexpr std::int64_t kMostBuckets = 2048, kFewestWarps = 4;
    static_assert(kMostBuckets <= 1 << kSortMostBits);
    return buckets_ <= kMostBuckets && shared_bytes(kFewestWarps) <= shared;
  }
  std::int64_t shared_bytes(std::int64_t warps) const {
    return sort_shared_bytes(buckets_, warps, tile_of(warps));
  }
  static constexpr std::int64_t kBlocksOfSm = 2;  // that sort_kernel's registers leave room for
  static std::int64_t tile_of(std::int64_t warps) { return warps * 32 * kSortRounds; }

  // wanted: spans of a problem that make one wave of blocks.
  void cut_into_spans(std::int64_t wanted, std::int64_t shared) {
    constexpr std::int64_t kMostTogether = 8;  // blocks of a cluster, on any GPU
    constexpr std::int64_t kShortTogether = 1024, kShort = 2048;
    std::int64_t warps = kSortWarps;
    while (shared_bytes(warps) > shared) warps /= 2;
    std::int64_t const tiles = ceil_div<std::int64_t>(n_, tile_of(warps));
    together_ = tiles <= (overlaps_ ? kMostTogether : 1);
    std::int64_t spans = 1;
    if (!together_) {
      spans = std::clamp<std::int64_t>(wanted, 1, ceil_div<std::int64_t>(n_, kShort));
    } else if (overlaps_) {
      spans = std::min({wanted, kMostTogether, ceil_div<std::int64_t>(n_, kShortTogether)});
      spans = std::max(spans, tiles);
    }
    span_ = ceil_div<std::uint32_t>(n_, static_cast<std::uint32_t>(spans));
    spans_ = together_ ? static_cast<std::uint32_t>(spans) : ceil_div(n_, span_);
    std::uint32_t const pieces =
        ceil_div<std::uint32_t>(span_, static_cast<std::uint32_t>(tile_of(warps)));
    tile_ = ceil_div(span_, pieces);
    // Every warp has its own counts to clear and to add up: a few rounds must pay for them.
    constexpr std::int64_t kFewRounds = 4;
    while (warps > 1 && tile_ <= kFewRounds * 32 * warps / 2) warps /= 2;
    warps_ = static_cast<int>(warps);
  }

  void queue_counting(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      fit_status const* status, cluster_index const& index, std::uint32_t* counters,
                      cudaStream_t stream) const {
    counting_params p{};
    p.labels = labels;
    p.status = status;
    p.counts = counts_;
    p.group_counts = group_counts_;
    p.counted_spans = counters;
    p.offsets = offsets_;
    p.order = order_[0];
    p.index = index;
    p.n = n_;
    p.k = k_;
    p.buckets = buckets_;
    p.span = span_;
    p.spans = spans_;
    p.tile = tile_;
    p.first = first;
    if (!together_) {
      launch(count_kernel<kCountThreads>, "count_kernel", problems * spans_, kCountThreads, stream,
             p, {buckets_ * sizeof(std::uint32_t), 1, overlaps_});
    }
    launch(sort_kernel_of_bits(), "sort_kernel", problems * spans_, 32 * warps_, stream, p,
           {static_cast<std::size_t>(sort_bytes()), together_ ? static_cast<int>(spans_) : 1,
            overlaps_});
  }

  std::int64_t sort_bytes() const { return sort_shared_bytes(buckets_, warps_, tile_); }

  auto sort_kernel_of_bits() const -> void (*)(counting_params) {
    auto const of = [&](auto bits) {
      constexpr int kBits = decltype(bits)::value, kThreads = 32 * kSortWarps;
      return together_ ? sort_kernel<kThreads, kBits, true> : sort_kernel<kThreads, kBits, false>;
    };
    int const bits = bits_for(buckets_);
    if (bits <= 8) return of(std::integral_constant<int, 8>{});
    if (bits <= 10) return of(std::integral_constant<int, 10>{});
    return of(std::integral_constant<int, 11>{});
  }

  // Returns the sorted points, counted over the whole group.
  std::uint32_t const* queue_radix(std::int32_t const* labels, std::int64_t first,
                                   std::int64_t problems, cluster_index const& index,
                                   cudaStream_t stream) const {
    std::uint32_t const count = static_cast<std::uint32_t>(problems) * n_;
    launch(keys_kernel<kKeysThreads>, "keys_kernel", ceil_div<std::int64_t>(count, kKeysThreads),
           kKeysThreads, stream, keys_params{labels, keys_[0], order_[0], count, n_, k_, buckets_});
    std::size_t bytes = temporary_bytes_;
    unpack_params p{};
    check_cuda(radix_sort(temporary_, bytes, problems, &p, stream), "sort of the points");
    p.offsets = offsets_;
    p.index = index;
    p.count = index.order != nullptr || index.inverse != nullptr ? count : 0;
    p.n = n_;
    p.k = k_;
    p.buckets = buckets_;
    p.boundaries = problems * (std::int64_t{buckets_} + 1);
    p.first = first;
    launch(unpack_kernel<kUnpackThreads>, "unpack_kernel",
           ceil_div<std::int64_t>(std::max<std::int64_t>(p.count, p.boundaries), kUnpackThreads),
           kUnpackThreads, stream, p);
    return p.points;
  }

  // CUB's way: without memory it only tells how much it needs.
  cudaError_t radix_sort(void* memory, std::size_t& bytes, std::int64_t problems,
                         unpack_params* sorted, cudaStream_t stream = nullptr) const {
    cub::DoubleBuffer<std::uint32_t> keys(keys_[0], keys_[1]), order(order_[0], order_[1]);
    int const count = static_cast<int>(problems * n_);
    int const bits = bits_for(static_cast<std::uint64_t>(problems) * buckets_);
    cudaError_t const status = cub::DeviceRadixSort::SortPairs(memory, bytes, keys, order, count, 0,
                                                               bits > 0 ? bits : 1, stream);
    if (sorted != nullptr) {
      sorted->keys = keys.Current();
      sorted->points = order.Current();
    }
    return status;
  }

  std::uint32_t n_, k_, buckets_;
  bool overlaps_;
  std::uint32_t* order_[2] = {};
  std::uint32_t* offsets_;
  // counting sort
  int warps_ = 0;          // of a block; 0 where the radix sort is used
  bool together_ = false;  // spans of a problem are one cluster of blocks
  std::uint32_t span_ = 0, spans_ = 0, tile_ = 0, groups_ = 0;
  std::uint32_t* counts_ = nullptr;
  std::uint32_t* group_counts_ = nullptr;
  // radix sort
  std::uint32_t* keys_[2] = {};
  void* temporary_ = nullptr;
  std::size_t temporary_bytes_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
