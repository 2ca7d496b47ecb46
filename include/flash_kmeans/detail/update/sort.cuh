// Stable sort of points by cluster: a counting sort for what is small enough, else a radix sort on
// just the bits that keys have.
#pragma once

#include <algorithm>
#include <cub/device/device_radix_sort.cuh>

#include <cstdint>

#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "counting.cuh"
#include "kernel_count.cuh"
#include "kernel_keys.cuh"
#include "kernel_scan.cuh"
#include "kernel_scatter.cuh"
#include "kernel_unpack.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

class point_sort {
 public:
  // For groups of up to `problems` problems of n points in `buckets` buckets.
  point_sort(std::int64_t problems, std::int64_t n, std::int64_t k, std::int64_t buckets,
             arena& memory)
      : n_(static_cast<std::uint32_t>(n)),
        k_(static_cast<std::uint32_t>(k)),
        buckets_(static_cast<std::uint32_t>(buckets)),
        counts_(buckets <= kMostCounted && problems * n <= kMostPoints) {
    std::int64_t const count = problems * n;
    order_[0] = memory.take<std::uint32_t>(count);
    offsets_ = memory.take<std::uint32_t>(problems * (buckets + 1));
    if (counts_) {
      cut_into_tiles(problems);
      tile_counts_ = memory.take<std::uint32_t>(problems * tiles_ * buckets);
      totals_ = memory.take<std::uint32_t>(problems * buckets);
      done_ = memory.take<std::uint32_t>(problems);
      return;
    }
    order_[1] = memory.take<std::uint32_t>(count);
    for (std::uint32_t*& keys : keys_) keys = memory.take<std::uint32_t>(count);
    check_cuda(radix_sort(nullptr, temporary_bytes_, problems, nullptr), "sizing of the sort");
    temporary_ = memory.take<char>(static_cast<std::int64_t>(temporary_bytes_));
  }

  // Sorts problems [first, first + problems) by their labels ([problems][n], of the group). status:
  // problems that have converged may keep the order that they have. index: by-products.
  sorted_points queue(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      fit_status const* status, cluster_index const& index,
                      cudaStream_t stream) const {
    if (counts_) {
      queue_counting(labels, first, problems, status, index, stream);
      return {order_[0], 0, offsets_, n_, k_, buckets_, first};
    }
    std::uint32_t const* const order = queue_radix(labels, first, problems, index, stream);
    return {order, n_, offsets_, n_, k_, buckets_, first};
  }

 private:
  // Measured on an H200: beyond these the counting sort's scattered writes cost more than the radix
  // sort's passes.
  static constexpr std::int64_t kMostCounted = 2048, kMostPoints = 1 << 21;
  static_assert(kMostCounted <= 1 << 11);
  static constexpr int kCountThreads = 256, kScanThreads = 1024, kShortScanThreads = 256;
  static constexpr std::uint32_t kFewTiles = 64;

  // Enough tiles to keep the GPU's warps busy, and not many more counts than points.
  void cut_into_tiles(std::int64_t problems) {
    constexpr std::int64_t kSharedBytes = 192 * 1024, kMostWarps = 8;  // of an SM
    constexpr std::int64_t kShortest = 128;                            // points
    std::int64_t const bytes = buckets_ * std::int64_t{sizeof(std::uint32_t)};
    std::int64_t const warps =
        multiprocessors() * std::clamp<std::int64_t>(kSharedBytes / bytes, 1, kMostWarps);
    constexpr std::int64_t kFewCounts = 1 << 16;  // of a problem
    std::int64_t const counts = std::max<std::int64_t>(n_, kFewCounts) / buckets_;
    std::int64_t const most = std::min({ceil_div(warps, problems), counts, n_ / kShortest});
    std::int64_t const tiles = std::max<std::int64_t>(most, 1);
    tile_ =
        static_cast<std::uint32_t>(round_up<std::int64_t>(ceil_div<std::int64_t>(n_, tiles), 32));
    tiles_ = ceil_div(n_, tile_);
    constexpr std::int64_t kBlockBytes = 32 * 1024, kMostBlockWarps = 8;
    block_warps_ = static_cast<int>(std::min<std::int64_t>(
        tiles_, std::clamp<std::int64_t>(kBlockBytes / bytes, 1, kMostBlockWarps)));
  }

  void queue_counting(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      fit_status const* status, cluster_index const& index,
                      cudaStream_t stream) const {
    counting_params p{};
    p.labels = labels;
    p.status = status;
    p.counts = tile_counts_;
    p.totals = totals_;
    p.done = done_;
    p.offsets = offsets_;
    p.order = order_[0];
    p.index = index;
    p.problems = static_cast<std::uint32_t>(problems);
    p.n = n_;
    p.k = k_;
    p.buckets = buckets_;
    p.tile = tile_;
    p.tiles = tiles_;
    p.first = first;
    std::size_t const bytes = buckets_ * sizeof(std::uint32_t);
    launch(count_kernel<kCountThreads>, "count_kernel", problems * tiles_, kCountThreads, stream, p,
           {bytes});
    bool const few = tiles_ <= kFewTiles;
    launch(few ? scan_kernel<kShortScanThreads> : scan_kernel<kScanThreads>, "scan_kernel",
           problems * ceil_div<std::int64_t>(buckets_, 32), few ? kShortScanThreads : kScanThreads,
           stream, p);
    launch(bits_for(buckets_) <= 8 ? scatter_kernel<8> : scatter_kernel<11>, "scatter_kernel",
           problems * ceil_div<std::int64_t>(tiles_, block_warps_), 32 * block_warps_, stream, p,
           {block_warps_ * bytes});
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
  bool counts_;
  std::uint32_t* order_[2] = {};
  std::uint32_t* offsets_;
  // counting sort
  std::uint32_t tile_ = 0, tiles_ = 0;
  int block_warps_ = 0;  // of the scatter
  std::uint32_t* tile_counts_ = nullptr;
  std::uint32_t* totals_ = nullptr;
  std::uint32_t* done_ = nullptr;
  // radix sort
  std::uint32_t* keys_[2] = {};
  void* temporary_ = nullptr;
  std::size_t temporary_bytes_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
