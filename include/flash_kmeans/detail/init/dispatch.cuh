// Launches of the initialisations.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../launch.cuh"
#include "../math.hpp"
#include "kernel_random.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
void queue_init(matrix_view<T const> const& x, matrix_view<centroid_t<T>> const& c,
                fit_options const& options, cudaStream_t stream) {
  if (options.init == init_method::given) return;
  std::int64_t const centroids = x.batch_count() * c.rows;
  launch(random_kernel<T>, "random_kernel",
         grid_for(ceil_div<std::int64_t>(centroids, kRandomThreads / 32)), kRandomThreads, stream,
         random_params<T>{device_matrix<T const>(x), device_matrix<centroid_t<T>>(c), options.seed,
                          x.rows, static_cast<std::int32_t>(c.rows),
                          static_cast<std::int32_t>(x.cols), centroids});
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
