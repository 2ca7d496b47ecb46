// flash_kmeans::fit and predict over sequences of different lengths, each with its own k.
#pragma once

#include <cstddef>
#include <type_traits>

#include "detail/calls.hpp"
#include "detail/checks.hpp"
#include "fit.cuh"
#include "predict.cuh"
#include "types.hpp"

namespace flash_kmeans {
inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that fit and fit_async need for these sequences on the current
/// device: the most that one of them needs. The data is not read, and pointers to rows may be null
/// (see fit_workspace_bytes of one batch); everything else is as for one batch.
template <class P, class C>
std::size_t fit_workspace_bytes(ragged_view<P> const& x, ragged_view<C> const& centroids,
                                fit_options const& options = {}, execution const& exec = {},
                                fit_outputs const& outputs = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_options(options);
  auto const calls = detail::fits_of<T const, C>(x, centroids, outputs, options);
  return detail::fits_bytes<T>(calls, exec);
}

/// Exact k-means of every sequence, each with its own n and k, queued on the stream in one call.
/// Returns the kernel that the assignments of the longest sequence run on.
///
/// @param[in] x device rows, host offsets: [n of all][d] of each head; types and alignment as for
///     fit_async of one batch; every sequence has at least one row
/// @param[in,out] centroids device rows, host offsets: [k of all][d] of each head, with as many
///     sequences and heads as x; 1 <= k <= n for every sequence; rows must not overlap
/// @param[out] outputs as for one batch, one problem after the other: labels, order and inverse of
///     problem (i, j) begin at heads x (offsets[i] - offsets[0]) + j n_i, counts likewise by
///     the offsets of centroids, offsets (k_i + 1 each) as well; status [problems], records
///     [problems][max_iterations]
/// @param[in] options as for fit_async of one batch; weights lie like labels. Problem (i, j) draws
///     with number first_problem + i x heads + j
/// @param[in] exec stream, workspace (fit_workspace_bytes of the same views), forced kernel,
///     precision of float and screening
///
/// Every sequence gets, to the bit, what fit_async gives it as a batch of its heads. Sequences are
/// fitted one after the other in the same workspace; the heads of one run side by side. So a call
/// costs the sum of the fits, on the host too: sequences of many points or heads fill the GPU, while
/// of hundreds of short ones with one head each every one waits for the latency of those before.
/// Where k is the same for all, such sequences can be a plain batch instead, filled up to one length
/// with rows of NaN, which count nowhere.
///
/// Deterministic. Synchronises nothing and, given a workspace, allocates nothing on the device; can
/// be captured into a CUDA graph, which keeps the offsets of the capture. Throws
/// std::invalid_argument naming argument and value before anything is queued, and cuda_error.
///
/// @code{.cpp}
/// // [rows][heads][d] tokens of several sequences; 1 centroid for 16 tokens
/// fk::ragged_view<__half const> x{d_x, offsets, sequences, d, heads * d, heads, d};
/// fk::ragged_view<float> c{d_c, k_offsets, sequences, d, heads * d, heads, d};
/// fk::fit_async(x, c, d_labels, options, {stream, d_workspace, bytes});
/// @endcode
template <class P, class C>
assign_kernel fit_async(ragged_view<P> const& x, ragged_view<C> const& centroids,
                        fit_outputs const& outputs, fit_options const& options = {},
                        execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_does_not_wait(options);
  auto const calls = detail::fits_of<T const, C>(x, centroids, outputs, options);
  detail::check_ragged_fit(centroids, calls);
  return detail::queue_fits<T>(calls, exec);
}

/// fit_async of every sequence, then waits for the stream and returns how all of them ended. Looks
/// at the device as fit of one batch does, and ends each sequence once its problems have converged.
/// With options.check_input nothing is written where a row of any sequence is not finite. Where
/// options.progress wants no more, the sequences that follow end after their first update.
template <class P, class C>
fit_result fit(ragged_view<P> const& x, ragged_view<C> const& centroids, fit_outputs const& outputs,
               fit_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  auto const calls = detail::fits_of<T const, C>(x, centroids, outputs, options);
  detail::check_ragged_fit(centroids, calls);
  return detail::wait_for_fits<T>(calls, exec);
}

/// Bytes of execution::workspace that predict and predict_async need for these sequences on the
/// current device: the most that one of them needs. The data is not read, and pointers to rows may
/// be null (see predict_workspace_bytes of one batch).
template <class P, class C>
std::size_t predict_workspace_bytes(ragged_view<P> const& x, ragged_view<C> const& centroids,
                                    query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_metric(options.metric);
  auto const calls = detail::queries_of<T const, centroid_t<T> const>(x, centroids, {});
  return detail::queries_bytes<T>(calls, options.metric, exec);
}

/// The nearest centroid of every point among those of its own sequence, queued on the stream in one
/// call. Returns the kernel that it runs on.
///
/// @param[in] x,centroids as for fit_async of sequences; k may exceed n
/// @param[out] outputs device: labels and, on request, distances, one problem after the other
/// @param[in] options metric
/// @param[in] exec stream, workspace (predict_workspace_bytes of the same views), forced kernel,
///     precision of float and screening
///
/// Everything else, cost and errors are those of predict_async, sequence by sequence.
template <class P, class C>
assign_kernel predict_async(ragged_view<P> const& x, ragged_view<C> const& centroids,
                            predict_outputs<centroid_t<P>> const& outputs,
                            query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  auto const calls = detail::queries_of<T const, centroid_t<T> const>(x, centroids, outputs);
  for (auto const& call : calls) {
    detail::check_predict(call.x, call.centroids, call.out, options);
  }
  return detail::queue_predictions<T>(calls, options, exec);
}

/// predict_async of every sequence, then waits for the stream.
template <class P, class C>
assign_kernel predict(ragged_view<P> const& x, ragged_view<C> const& centroids,
                      predict_outputs<centroid_t<P>> const& outputs,
                      query_options const& options = {}, execution const& exec = {}) {
  assign_kernel const kernel = predict_async(x, centroids, outputs, options, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "predict");
  return kernel;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
