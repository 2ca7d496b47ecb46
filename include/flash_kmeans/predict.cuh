// flash_kmeans::predict and inertia: which centroid is nearest, and how far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "detail/assign/dispatch.cuh"
#include "detail/checks.hpp"
#include "detail/workspace.cuh"
#include "types.hpp"

namespace flash_kmeans {

namespace detail {
inline namespace FLASH_KMEANS_ABI {

// The workspace of inertia: an assignment, its labels, and sums for a caller who wants them on the
// host.
template <class T>
struct inertia_memory {
  assignment<T> assign;
  std::int32_t* labels;
  double* sums;

  inertia_memory(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                 assign_plan const& plan, arena& memory)
      : assign(x, c, plan, memory),
        labels(memory.take<std::int32_t>(x.batch_count() * x.rows)),
        sums(memory.take<double>(x.batch_count())) {}
};

// sums: device [b], or null for the workspace's; ended(sums) runs while the workspace is still
// held.
template <class T, class Ended>
void run_inertia(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                 double* sums, execution const& exec, Ended&& ended) {
  check_views(x, c);
  assign_plan const plan = plan_assignment<T>(exec);
  workspace block(exec);
  auto pieces = block.lay_out([&](arena& memory) { return inertia_memory<T>(x, c, plan, memory); });
  if (sums == nullptr) sums = pieces.sums;
  pieces.assign.prepare();
  pieces.assign.queue_points(exec.stream);
  pieces.assign.queue_centroids(exec.stream);
  pieces.assign.queue_labels(pieces.labels, nullptr, exec.stream);
  pieces.assign.queue_distances(pieces.labels, nullptr, sums, 1, exec.stream);
  ended(sums);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace detail

inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that predict and predict_async need for these shapes on the
/// current device. The data is not read, and pointers may be null, which counts as aligned. exec:
/// kernel and precision count.
///
/// Roughly 4 b k bytes (8 for double), 2 b k d more for half and bfloat16 points, and 16 KiB a
/// problem. On Hopper 32 b k, 2 b k d (6 for native, 4 for tf32 float) and 0.5 MiB, and a copy of
/// points that the sm90 kernel cannot read where they lie:
/// @code{.cpp}
/// native float                                     6 b n d bytes, three bfloat16 pieces
/// rows that do not start on multiples of 16 bytes  b n d elements, d rounded up to 16 bytes
/// @endcode
/// The copy costs one read of the points and one write of it, once per call (fit: per fit). Forcing
/// the kernel simt or sm80 avoids it.
template <class P, class C>
std::size_t predict_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                    execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::arena sizing;
  detail::assignment<T>(x, centroids, detail::plan_assignment<T>(exec), sizing);
  return sizing.used();
}

/// The nearest centroid of every point, queued on the stream. Returns the kernel that it runs on.
///
/// @param[in] x device, [b][n][d], as for fit; n >= 1, and k may exceed n
/// @param[in] centroids device, [b][k][d], float (double for double points); rounded to the type of
///     half and bfloat16 points for the comparison
/// @param[out] outputs device: labels [b][n] int32, and optionally distances [b][n]: the squared
///     distance to that centroid, from differences in the centroids' own type; a plain label
///     pointer converts
/// @param[in] exec stream, workspace (predict_workspace_bytes), forced kernel, precision of float
///
/// Ties go to the lowest index; a NaN never wins, and a point with a NaN gets label 0.
/// Cost: 2 b n k d FLOPs and one read of the points, one more for distances.
/// Deterministic. Synchronises nothing and, given a workspace, allocates nothing; can be captured
/// into a CUDA graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class C>
assign_kernel predict_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                            predict_outputs<centroid_t<P>> const& outputs,
                            execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_pointer(outputs.labels, "labels");
  detail::check_optional(outputs.distances, "distances");
  detail::assign_plan const plan = detail::plan_assignment<T>(exec);
  detail::workspace block(exec);
  auto assignment = block.lay_out(
      [&](detail::arena& memory) { return detail::assignment<T>(x, centroids, plan, memory); });
  assignment.prepare();
  assignment.queue_points(exec.stream);
  assignment.queue_centroids(exec.stream);
  assignment.queue_labels(outputs.labels, nullptr, exec.stream);
  if (outputs.distances != nullptr) {
    assignment.queue_distances(outputs.labels, outputs.distances, nullptr, 0, exec.stream);
  }
  return plan.kernel;
}

/// predict_async, then waits for the stream.
template <class P, class C>
assign_kernel predict(matrix_view<P> const& x, matrix_view<C> const& centroids,
                      predict_outputs<centroid_t<P>> const& outputs, execution const& exec = {}) {
  assign_kernel const kernel = predict_async(x, centroids, outputs, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "predict");
  return kernel;
}

/// Bytes of execution::workspace that inertia and inertia_async need for these shapes on the
/// current device: as predict_workspace_bytes, and 4 b n bytes more.
template <class P, class C>
std::size_t inertia_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                    execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::arena sizing;
  detail::inertia_memory<T>(x, centroids, detail::plan_assignment<T>(exec), sizing);
  return sizing.used();
}

/// Sum over points of the squared distance to the nearest centroid, one per problem, queued on the
/// stream.
///
/// @param[in] x,centroids as for predict_async
/// @param[out] sums device, [b] double, in squared units of the features
/// @param[in] exec stream, workspace (inertia_workspace_bytes), forced kernel, precision
///
/// Cost: one assignment and one more read of the points. Distances come from differences; sums run
/// in double and in a fixed order, so the result is deterministic.
/// Synchronises nothing and, given a workspace, allocates nothing; throws as predict_async.
template <class P, class C>
void inertia_async(matrix_view<P> const& x, matrix_view<C> const& centroids, double* sums,
                   execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_pointer(sums, "sums");
  detail::run_inertia<T>(x, centroids, sums, exec, [](double const*) {});
}

/// inertia_async, then waits for the stream; returns the sum over the problems.
template <class P, class C>
double inertia(matrix_view<P> const& x, matrix_view<C> const& centroids,
               execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  double total = 0;
  detail::run_inertia<T>(x, centroids, nullptr, exec, [&](double const* sums) {
    total = detail::fetch_sum(sums, x.batch_count(), exec.stream, "inertia");
  });
  return total;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
