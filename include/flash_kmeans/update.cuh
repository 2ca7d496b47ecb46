// flash_kmeans::update_centroids: one update step by itself, with the sort's by-products; sums and
// order by cluster of other rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "detail/checks.hpp"
#include "detail/kernel_sum.cuh"
#include "detail/nvtx.hpp"
#include "detail/points.cuh"
#include "detail/update/dispatch.cuh"
#include "detail/update/scaling.cuh"
#include "detail/workspace.cuh"
#include "types.hpp"

namespace flash_kmeans {

namespace detail {
inline namespace FLASH_KMEANS_ABI {

// The workspace of update_centroids and sum_by_cluster: factors of the points' rows, an update, and
// shifts for a caller who wants them on the host.
template <class T>
struct update_memory {
  using acc = centroid_t<T>;
  point_copy<T> points;
  point_scaling<compute_t<T>> scaling;
  centroid_update<compute_t<T>> update;
  double* shift;

  update_memory(matrix_view<T const> const& x, matrix_view<acc> const& c,
                update_options const& options, arena& memory)
      : points(x, memory),
        scaling(points.view(), options.metric, options.weights.template get<acc>(), memory),
        update(points.view(), c, {scaling.rows()}, memory),
        shift(memory.take<double>(x.batch_count())) {}

  // What an update that stands alone needs first.
  void start(cudaStream_t stream) {
    update.prepare();
    points.queue(stream);
    scaling.queue(stream);
    check_cuda(
        cudaMemsetAsync(update.counters(), 0,
                        static_cast<std::size_t>(update.counter_count()) * sizeof(std::uint32_t),
                        stream),
        "cudaMemsetAsync");
  }
};

// ended(shift) runs while the workspace is still held.
template <class T, class Ended>
void run_update(matrix_view<T const> const& x, std::int32_t const* labels,
                matrix_view<centroid_t<T>> const& c, update_outputs const& out, bool shift_wanted,
                update_options const& options, execution const& exec, Ended&& ended) {
  check_views(x, c);
  check_written(c);
  check_pointer(labels, "labels");
  check_index(out.index);
  check_optional(out.shift, "shift");
  check_metric(options.metric);
  check_weights<centroid_t<T>>(options.weights);
  profiler_range const range("flash_kmeans.update_centroids");
  workspace block(exec);
  auto pieces =
      block.lay_out([&](arena& memory) { return update_memory<T>(x, c, options, memory); });
  auto& update = pieces.update;
  pieces.start(exec.stream);
  update.template queue<plain_form<compute_t<T>>>(labels, out.index, {}, {}, exec.stream);
  double* const shift = out.shift != nullptr ? out.shift : pieces.shift;
  if (shift_wanted) {
    launch(sum_kernel<kSumThreads>, "sum_kernel", grid_for(x.batch_count()), kSumThreads,
           exec.stream, sum_params{update.shifts(), c.rows, shift, 1, x.batch_count()});
  }
  ended(shift);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace detail

inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that update_centroids and update_centroids_async need for these
/// shapes and options on the current device.
///
/// @param[in] x,centroids shapes, strides and batch as for update_centroids_async; the data is not
///     read. Pointers may be null: the size then suffices for points at any address
/// @param[in] options as for update_centroids_async; weights are not read
///
/// Points of one byte a value need what half points need and 2 bytes a value, d rounded up to a
/// multiple of 8. Synchronises nothing. Throws std::invalid_argument for a bad shape or an unknown metric,
/// cuda_error without a device.
template <class P, class C>
std::size_t update_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                   update_options const& options = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_metric(options.metric);
  detail::arena sizing;
  detail::update_memory<T>(detail::placed_for_sizing(matrix_view<T const>(x)), centroids, options,
                           sizing);
  return sizing.used();
}

/// Moves every centroid to the mean of its points, or under cosine to the mean of their directions
/// scaled to length 1, queued on the stream.
///
/// @param[in] x device, [b][n][d], as for fit; points of one byte a value are converted to half
///     first
/// @param[in] labels device, [b][n] int32. A point whose label is outside [0, k) counts nowhere; in
///     cluster_index.order such points come last, and offsets[k] is the number of points that
///     count. Nor does a row of zeros count in a mean of directions.
/// @param[in,out] centroids device, [b][k][d], float (double for double points); a cluster without
///     points, with points that all weigh 0, or with directions that add up to nothing keeps its
///     centroid; k may exceed n
/// @param[out] outputs device, all optional: cluster_index, and shift [b] double, the sum of the
///     squared distances that the centroids moved
/// @param[in] options metric, default euclidean; weights, device [b][n], default all 1, whose
///     values are not checked
/// @param[in] exec stream, workspace (update_workspace_bytes)
///
/// A NaN or an infinity among a cluster's points goes into its centroid; a label of -1 leaves such
/// a point out.
/// Sums run in the centroids' type inside runs of points and in double between them, always in the
/// same order: deterministic, no float atomics. Cost: one read of the points (cosine: two), and 16 b
/// n bytes (52 with more than 2048 clusters) for the sort; for points of one byte a value one more
/// read of them and the write and read of their copy in half. Workspace: under cosine 4 b n bytes
/// more (8 for double points), with weights twice that.
/// Synchronises nothing and, given a workspace, allocates nothing; can be captured into a CUDA
/// graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class C>
void update_centroids_async(matrix_view<P> const& x, std::int32_t const* labels,
                            matrix_view<C> const& centroids, update_outputs const& outputs = {},
                            update_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::run_update<T>(x, labels, centroids, outputs, outputs.shift != nullptr, options, exec,
                        [](double const*) {});
}

/// update_centroids_async, then waits for the stream; returns the shift summed over the problems.
template <class P, class C>
double update_centroids(matrix_view<P> const& x, std::int32_t const* labels,
                        matrix_view<C> const& centroids, update_outputs const& outputs = {},
                        update_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  double total = 0;
  detail::run_update<T>(
      x, labels, centroids, outputs, true, options, exec, [&](double const* shift) {
        total = detail::fetch_sum(shift, x.batch_count(), exec.stream, "update_centroids");
      });
  return total;
}

/// Sums of the rows of every cluster, queued on the stream: of values that go with the points, say.
///
/// @param[in] x device, [b][n][d], as for fit and converted likewise; d need not be that of the
///     points
/// @param[in] labels device, [b][n] int32, of fit or predict. A row whose label is outside [0, k)
///     counts nowhere.
/// @param[out] sums device, [b][k][d], float (double for double rows); zero for a cluster without
///     rows
/// @param[in] exec stream, workspace (update_workspace_bytes(x, sums))
///
/// Sums, order and cost are those of update_centroids_async: deterministic, one read of x (and the
/// conversion of rows of one byte a value).
/// Synchronises nothing and, given a workspace, allocates nothing; can be captured into a CUDA
/// graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class C>
void sum_by_cluster_async(matrix_view<P> const& x, std::int32_t const* labels,
                          matrix_view<C> const& sums, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_views(x, sums, "sums");
  detail::check_written(sums, "sums");
  detail::check_pointer(labels, "labels");
  detail::profiler_range const range("flash_kmeans.sum_by_cluster");
  detail::workspace block(exec);
  auto pieces = block.lay_out(
      [&](detail::arena& memory) { return detail::update_memory<T>(x, sums, {}, memory); });
  pieces.start(exec.stream);
  pieces.update.queue_sums(labels, exec.stream);
}

/// sum_by_cluster_async, then waits for the stream.
template <class P, class C>
void sum_by_cluster(matrix_view<P> const& x, std::int32_t const* labels, matrix_view<C> const& sums,
                    execution const& exec = {}) {
  sum_by_cluster_async(x, labels, sums, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "sum_by_cluster");
}

/// Rows sorted by cluster, queued on the stream: sorted[b][i] = x[b][order[b][i]].
///
/// @param[in] x device, [b][n][d] of any type of points (none is converted), any strides of
///     matrix_view
/// @param[in] order device, [b][n] int32: cluster_index.order of fit or update_centroids. Not
///     checked.
/// @param[out] sorted device, [b][n][d] of the same type, any strides that keep rows apart; must
///     not overlap x
/// @param[in] exec stream
///
/// Cost: one read and one write of the rows, fastest where rows consist of whole 16 bytes. Takes no
/// workspace, synchronises and allocates nothing; can be captured into a CUDA graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class T>
void gather_by_cluster_async(matrix_view<P> const& x, std::int32_t const* order,
                             matrix_view<T> const& sorted, execution const& exec = {}) {
  static_assert(std::is_same_v<std::remove_const_t<P>, T>,
                "flash_kmeans: sorted rows have the type of the rows");
  detail::check_point_type<T>();
  detail::check_shapes(x, sorted, "sorted", "n");
  if (sorted.rows != x.rows) {
    detail::throw_invalid("sorted.rows (n)", sorted.rows,
                          "must equal x.rows (" + std::to_string(x.rows) + ")");
  }
  detail::check_pointer(x.data, "x.data");
  detail::check_pointer(sorted.data, "sorted.data");
  detail::check_written(sorted, "sorted");
  detail::check_pointer(order, "order");
  detail::profiler_range const range("flash_kmeans.gather_by_cluster");
  detail::queue_gather<T>(x, order, sorted, exec.stream);
}

/// gather_by_cluster_async, then waits for the stream.
template <class P, class T>
void gather_by_cluster(matrix_view<P> const& x, std::int32_t const* order,
                       matrix_view<T> const& sorted, execution const& exec = {}) {
  gather_by_cluster_async(x, order, sorted, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "gather_by_cluster");
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
