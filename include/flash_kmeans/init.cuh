// flash_kmeans::init_centroids: the first centroids by themselves.
#pragma once

#include <type_traits>

#include "detail/checks.hpp"
#include "detail/init/dispatch.cuh"
#include "types.hpp"

namespace flash_kmeans {
inline namespace FLASH_KMEANS_ABI {

/// Writes the centroids that fit would start from, queued on the stream.
///
/// @param[in] x device, [b][n][d], as for fit
/// @param[out] centroids device, [b][k][d], float (double for double points), k <= n
/// @param[in] options init and seed are used. init_method::random: k points of every problem, drawn
///     without replacement; the same seed draws the same points on every device and on the CPU
///     backend. init_method::given leaves the centroids as they are.
/// @param[in] exec stream; no workspace is needed
///
/// Cost: k rows read and written. Deterministic. Synchronises nothing, allocates nothing; can be
/// captured into a CUDA graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class C>
void init_centroids_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                          fit_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_init(options.init);
  detail::queue_init<T>(x, centroids, options, exec.stream);
}

/// init_centroids_async, then waits for the stream.
template <class P, class C>
void init_centroids(matrix_view<P> const& x, matrix_view<C> const& centroids,
                    fit_options const& options = {}, execution const& exec = {}) {
  init_centroids_async(x, centroids, options, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "init_centroids");
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
