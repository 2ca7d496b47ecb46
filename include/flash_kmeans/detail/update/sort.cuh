// Stable sort of points by (problem, cluster), on just the bits that keys have.
#pragma once

#include <cub/device/device_radix_sort.cuh>

#include <cstdint>

#include "../config.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "../workspace.cuh"
#include "kernel_keys.cuh"
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
        buckets_(static_cast<std::uint32_t>(buckets)) {
    std::int64_t const count = problems * n;
    for (int i = 0; i < 2; ++i) {
      keys_[i] = memory.take<std::uint32_t>(count);
      order_[i] = memory.take<std::uint32_t>(count);
    }
    check_cuda(sort(nullptr, temporary_bytes_, problems, nullptr, nullptr), "sizing of the sort");
    temporary_ = memory.take<char>(static_cast<std::int64_t>(temporary_bytes_));
  }

  // Sorts problems [first, first + problems) by their labels ([problems][n], of the group).
  sorted_points queue(std::int32_t const* labels, std::int64_t first, std::int64_t problems,
                      cudaStream_t stream) const {
    std::uint32_t const count = static_cast<std::uint32_t>(problems) * n_;
    launch(keys_kernel<kKeysThreads>, "keys_kernel", ceil_div<std::int64_t>(count, kKeysThreads),
           kKeysThreads, stream, keys_params{labels, keys_[0], order_[0], count, n_, k_, buckets_});
    sorted_points sorted{keys_[0], order_[0], count, n_, k_, buckets_, first};
    std::size_t bytes = temporary_bytes_;
    check_cuda(sort(temporary_, bytes, problems, &sorted, stream), "sort of the points");
    return sorted;
  }

 private:
  // CUB's way: without memory it only tells how much it needs.
  cudaError_t sort(void* memory, std::size_t& bytes, std::int64_t problems, sorted_points* sorted,
                   cudaStream_t stream) const {
    cub::DoubleBuffer<std::uint32_t> keys(keys_[0], keys_[1]), order(order_[0], order_[1]);
    int const count = static_cast<int>(problems * n_);
    int const bits = bits_for(static_cast<std::uint64_t>(problems) * buckets_);
    cudaError_t const status = cub::DeviceRadixSort::SortPairs(memory, bytes, keys, order, count, 0,
                                                               bits > 0 ? bits : 1, stream);
    if (sorted != nullptr) {
      sorted->keys = keys.Current();
      sorted->order = order.Current();
    }
    return status;
  }

  std::uint32_t n_, k_, buckets_;
  std::uint32_t* keys_[2];
  std::uint32_t* order_[2];
  void* temporary_ = nullptr;
  std::size_t temporary_bytes_ = 0;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
