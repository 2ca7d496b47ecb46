// Labels of centroids that are not the first ones of a set (append).
#pragma once

#include <cstdint>

#include "config.cuh"
#include "kernel_count_from.cuh"
#include "launch.cuh"
#include "math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Adds `first` to every label.
inline void queue_count_from(std::int32_t first, std::int32_t* labels, std::int64_t count,
                             cudaStream_t stream) {
  if (first == 0) return;
  launch(count_from_kernel<kCountFromThreads>, "count_from_kernel",
         grid_for(ceil_div<std::int64_t>(count, kCountFromThreads)), kCountFromThreads, stream,
         count_from_params{labels, count, first});
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
