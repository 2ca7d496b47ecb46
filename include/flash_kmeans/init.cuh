// flash_kmeans::init_centroids: the first centroids by themselves.
#pragma once

#include <cstddef>
#include <type_traits>

#include "detail/checks.hpp"
#include "detail/init/dispatch.cuh"
#include "detail/nvtx.hpp"
#include "detail/points.cuh"
#include "detail/workspace.cuh"
#include "types.hpp"

namespace flash_kmeans {

namespace detail {
inline namespace FLASH_KMEANS_ABI {

// The workspace of init_centroids.
template <class T>
struct init_memory {
  point_copy<T> points;
  seeding<compute_t<T>> seeds;

  init_memory(matrix_view<T const> const& x, matrix_view<centroid_t<T>> const& c,
              fit_options const& options, assign_plan const& plan, arena& memory)
      : points(x, memory), seeds(points.view(), c, options, plan, memory) {}
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace detail

inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that init_centroids and init_centroids_async need for these shapes
/// and options on the current device.
///
/// @param[in] x,centroids shapes, strides and batch as for init_centroids_async; the data is not
///     read. Pointers may be null: the size then suffices for points at any address
/// @param[in] options init, candidates and metric count
/// @param[in] exec kernel, precision and screening count
///
/// None for init_method::random and given. For kmeans_plus_plus 8 bytes a point (16 of double), and for
/// c candidates c / 8 bytes a point, of half and bfloat16 with c <= 8 c (c + 1) / 8, in which two
/// centroids share a pass; for kmeans_parallel 16 (24) bytes a point, about 8 k rows of the
/// type of the points and 3/2 k of centroids, and what predict needs for 3/2 k centroids. Points of one
/// byte a value take what half points take and 2 bytes a value, d rounded up to a multiple of 8,
/// whatever init is.
/// Synchronises nothing. Throws std::invalid_argument for a bad shape or option, cuda_error without
/// a device.
template <class P, class C>
std::size_t init_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                 fit_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_written_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_seeding<C>(options, x.rows, centroids.rows);
  detail::arena sizing;
  detail::init_memory<T>(detail::placed_for_sizing(matrix_view<T const>(x)), centroids, options,
                         detail::plan_seeding<detail::compute_t<T>>(options.init, exec), sizing);
  return sizing.used();
}

/// Writes the centroids that fit would start from, queued on the stream.
///
/// @param[in] x device, [b][n][d], as for fit; points of one byte a value are converted to half
///     first, which is one read of all of them for every init
/// @param[out] centroids device, [b][k][d], float (double for double points), k <= n
/// @param[in] options init, seed, first_problem, candidates, metric and weights are used
/// @param[in] exec stream, workspace (init_workspace_bytes); a forced kernel, and precision of float
///     and screening count for kmeans_parallel, and `simt` for both seedings that measure
///
/// Every centroid is a point. What each init_method does:
/// - random: k points of every problem, drawn without replacement; the same seed draws the same
///   points on every device and on the CPU backend.
/// - kmeans_plus_plus: the first point is drawn with a probability in proportion to its weight,
///   every other one is the best of options.candidates points drawn in proportion to weight x
///   distance to the nearest centroid so far: the one that leaves the least sum of these. Distances
///   are squared, or 1 - cos for metric::cosine. A point with a value that is not finite (or whose
///   squared length is not), a row of zeros under metric::cosine and a point of weight 0 are not
///   drawn. When every point coincides with a centroid or weighs nothing, the point of the lowest
///   index that is no centroid yet is taken. Two centroids share their draws: candidates of the
///   second are proposed by the first one's potentials, and kept with the probability by which their
///   distance has not shrunk since, or else drawn anew. That is a draw by the second one's
///   potentials (rejection sampling).
/// - kmeans_parallel: one point as above, then five rounds that take every point with a probability
///   of k x its share in the sum of weight x distance, 3/2 k + 64 points a round at most; then
///   kmeans_plus_plus among the points taken, each with the weight of all points that are nearest
///   to it. Where fewer than k were taken, points of init_method::random join them.
/// - given leaves the centroids as they are.
/// Points with a NaN or an infinity are passed over. Where fewer than k are left, they are repeated,
/// and where none is, centroids are zero.
///
/// Cost: random, k rows read and written. kmeans_plus_plus, k reads of the points and two kernels a
/// centroid; where all proposals are kept half of the reads, for half and bfloat16 points and up to 8
/// candidates. kmeans_parallel, five assignments to 3/2 k + 64 centroids each and k reads of the about
/// 5 k points taken.
/// Deterministic: the same bits on the same device, alone and in a batch (problem i of a batch draws
/// with its own random numbers). Synchronises nothing and, given a workspace, allocates nothing; can
/// be captured into a CUDA graph.
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
  detail::check_seeding<C>(options, x.rows, centroids.rows);
  detail::profiler_range const range("flash_kmeans.init_centroids");
  detail::assign_plan const plan = detail::plan_seeding<detail::compute_t<T>>(options.init, exec);
  detail::workspace block(exec);
  auto pieces = block.lay_out([&](detail::arena& memory) {
    return detail::init_memory<T>(x, centroids, options, plan, memory);
  });
  pieces.seeds.prepare();
  pieces.points.queue(exec.stream);
  pieces.seeds.queue({options.seed, x.batch_count(), options.first_problem}, exec.stream);
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
