// flash_kmeans::append: centroids of new points, added to those that are there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "detail/calls.hpp"
#include "detail/checks.hpp"
#include "fit.cuh"
#include "types.hpp"

namespace flash_kmeans {
inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that append and append_async need: those of a fit of x to the
/// centroids that are added. The data is not read, and pointers may be null
/// (see fit_workspace_bytes).
template <class P, class C>
std::size_t append_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                   std::int64_t first, fit_options const& options = {},
                                   execution const& exec = {}, fit_outputs const& outputs = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_options(options);
  auto const call = detail::append_call<T const, C>(x, centroids, first, outputs, options);
  return detail::fits_bytes<T>({call}, exec);
}

/// Adds centroids to a set that grows with its points (64 for each 1024 tokens, say): of every
/// problem, rows [first, k) of the centroids are fitted to new points, and those before stay as they
/// are. Queued on the stream. Returns the kernel that the iterations' assignments run on.
///
/// @param[in] x device, [b][n][d], the new points, as for fit_async
/// @param[in,out] centroids device, [b][k][d], with the centroids that are there in rows [0, first)
///     and room for those that are added after them; k - first <= n. Make a view whose rows end with
///     what is to be added, over memory with room for more. Under init_method::given rows [first, k)
///     are where the fit starts from
/// @param[in] first row of the first centroid that is added, 0 <= first < k
/// @param[out] outputs device: labels [b][n] count from `first`, as rows of centroids do; a point
///     with a NaN or an infinity gets `first`. By-products are those of the added centroids: counts
///     [b][k - first] and offsets [b][k - first + 1]; status and records as for fit_async
/// @param[in] options,exec as for fit_async; workspace: append_workspace_bytes
///
/// New points belong to new centroids, even where an old one is nearer: predict with all of the
/// centroids tells. Results are, to the bit, those of fit_async with the added rows alone.
/// Cost: that of a fit of the new points, and one pass over their labels.
/// Deterministic. Synchronises nothing and, given a workspace, allocates nothing; can be captured
/// into a CUDA graph. Throws std::invalid_argument naming argument and value before anything is
/// queued, and cuda_error.
///
/// @code{.cpp}
/// // c: k_before centroids, with memory for 64 more in each problem
/// c.rows = k_before + 64;
/// fk::append_async(new_tokens, c, k_before, d_labels, options, {stream, d_workspace, bytes});
/// @endcode
template <class P, class C>
assign_kernel append_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                           std::int64_t first, fit_outputs const& outputs,
                           fit_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_does_not_wait(options);
  return detail::queue_fits<T>(
      {detail::checked_append<T const, C>(x, centroids, first, outputs, options)}, exec);
}

/// append_async, then waits for the stream and returns how it ended; looks at the device as fit
/// does, and takes options.check_input and progress.
template <class P, class C>
fit_result append(matrix_view<P> const& x, matrix_view<C> const& centroids, std::int64_t first,
                  fit_outputs const& outputs, fit_options const& options = {},
                  execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  return detail::wait_for_fits<T>(
      {detail::checked_append<T const, C>(x, centroids, first, outputs, options)}, exec);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
