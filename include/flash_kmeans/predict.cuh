// flash_kmeans::predict, top_k, inertia and transform: which centroids are near, and how far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "detail/assign/dispatch.cuh"
#include "detail/assign/queries.cuh"
#include "detail/calls.hpp"
#include "detail/checks.hpp"
#include "detail/nvtx.hpp"
#include "detail/points.cuh"
#include "detail/workspace.cuh"
#include "types.hpp"

namespace flash_kmeans {

namespace detail {
inline namespace FLASH_KMEANS_ABI {

// The queries of one call, which take turns in the same memory.
template <class T>
std::vector<query<T>> lay_out_queries(
    std::vector<predict_call<T const, centroid_t<T> const>> const& calls, metric of,
    assign_plan const& plan, arena& memory) {
  std::vector<query<T>> queries;
  queries.reserve(calls.size());
  for (auto const& call : calls) {
    memory.lend([&] { queries.emplace_back(call.x, call.centroids, of, plan, memory); });
  }
  return queries;
}

// Bytes of the workspace of these queries.
template <class T>
std::size_t queries_bytes(std::vector<predict_call<T const, centroid_t<T> const>> calls, metric of,
                          execution const& exec) {
  for (auto& call : calls) call.x = placed_for_sizing(call.x);
  arena sizing;
  lay_out_queries<T>(calls, of, plan_assignment<compute_t<T>>(exec), sizing);
  return sizing.used();
}

// What predict_async of one batch and of sequences share, after the checks.
template <class T>
assign_kernel queue_predictions(
    std::vector<predict_call<T const, centroid_t<T> const>> const& calls,
    query_options const& options, execution const& exec) {
  profiler_range const range("flash_kmeans.predict");
  assign_plan const plan = plan_assignment<compute_t<T>>(exec);
  workspace block(exec);
  auto queries = block.lay_out(
      [&](arena& memory) { return lay_out_queries<T>(calls, options.metric, plan, memory); });
  // All host work that can fail comes before the first launch.
  for (auto& pieces : queries) pieces.prepare();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    auto const& out = calls[i].out;
    queries[i].start(exec.stream);
    auto const& search = queries[i].search();
    search.queue_labels(out.labels, nullptr, exec.stream);
    if (out.distances != nullptr) {
      search.queue_distances(out.labels, out.distances, nullptr, 0, exec.stream);
    }
  }
  return plan.kernel;
}

// The workspace of inertia: a query, its labels, and sums for a caller who wants them on the host.
template <class T>
struct inertia_memory {
  query<T> nearest;
  std::int32_t* labels;
  double* sums;

  inertia_memory(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                 metric of, assign_plan const& plan, arena& memory)
      : nearest(x, c, of, plan, memory),
        labels(memory.take<std::int32_t>(x.batch_count() * x.rows)),
        sums(memory.take<double>(x.batch_count())) {}
};

// sums: device [b], or null for the workspace's; ended(sums) runs while the workspace is still
// held.
template <class T, class Ended>
void run_inertia(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                 double* sums, query_options const& options, execution const& exec, Ended&& ended) {
  using acc = centroid_t<T>;
  check_views(x, c);
  check_metric(options.metric);
  check_weights<acc>(options.weights);
  profiler_range const range("flash_kmeans.inertia");
  assign_plan const plan = plan_assignment<compute_t<T>>(exec);
  workspace block(exec);
  auto pieces = block.lay_out(
      [&](arena& memory) { return inertia_memory<T>(x, c, options.metric, plan, memory); });
  if (sums == nullptr) sums = pieces.sums;
  pieces.nearest.prepare();
  pieces.nearest.start(exec.stream);
  auto const& search = pieces.nearest.search();
  search.queue_labels(pieces.labels, nullptr, exec.stream);
  search.queue_distances(pieces.labels, nullptr, sums, 1, exec.stream,
                         options.weights.template get<acc>());
  ended(sums);
}

// The workspace of top_k.
template <class T>
struct top_k_memory {
  query<T> near;
  nearest_j_search<compute_t<T>> several;

  top_k_memory(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
               std::int32_t j, metric of, assign_plan const& plan, arena& memory)
      : near(x, c, of, plan, memory), several(near.points(), c.rows, j, plan, memory) {}
};

// The workspace of transform.
template <class T>
struct transform_memory {
  point_copy<T> points;
  query_masters<centroid_t<T>> masters;

  transform_memory(matrix_view<T const> const& x, matrix_view<centroid_t<T> const> const& c,
                   metric of, arena& memory)
      : points(x, memory), masters(c, of, memory) {}
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace detail

inline namespace FLASH_KMEANS_ABI {

/// Bytes of execution::workspace that predict and predict_async need for these shapes on the
/// current device. The data is not read. Pointers may be null: the size then suffices for points at
/// any address. options: metric counts; exec: kernel, precision and screening count.
///
/// Roughly 4 b k bytes (8 for double), 2 b k d more for half and bfloat16 points, and 16 KiB a
/// problem. metric::cosine: b k d elements of the centroids' type more, d rounded up to 16 bytes. On
/// Hopper 32 b k, 2 b k d (6 for native, 12 with up to 21 features, 4 for tf32 float) and 0.5 MiB,
/// and a copy of points that the sm90 kernel cannot read where they lie. Rows of both are rounded up
/// to 32 bytes:
/// @code{.cpp}
/// native float                                     6 b n d bytes, three bfloat16 pieces, or 12 with
///                                                  up to 21 features (their six pairs)
/// native float, screened                           2 b n d + 20 b n + 2 b k d + 40 b k more
/// double, screened                                 6 b n d + 20 b n + 2 b k d + 40 b k
/// rows that do not start on multiples of 16 bytes  b n d elements
/// @endcode
/// The copy costs one read of the points and one write of it, once per call (fit: per fit). Forcing
/// the kernel simt or sm80 avoids it. A screen copies the points rounded to half, and of those that
/// it leaves open their pieces, or (up to half of the points) their doubles.
///
/// Points of one byte a value (std::int8_t, std::uint8_t, __nv_fp8_e4m3) are converted to half once
/// per call, whatever the kernel: one read of the points, and 2 bytes a value, d rounded up to a
/// multiple of 8. Everything else is as for half points, of which no further copy is made.
template <class P, class C>
std::size_t predict_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                    query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_metric(options.metric);
  return detail::queries_bytes<T>({{x, centroids, {}}}, options.metric, exec);
}

/// The nearest centroid of every point, queued on the stream. Returns the kernel that it runs on.
///
/// @param[in] x device, [b][n][d], as for fit: __half, __nv_bfloat16, float, double, std::int8_t,
///     std::uint8_t or __nv_fp8_e4m3, the last three converted to half first; n >= 1, and k may
///     exceed n
/// @param[in] centroids device, [b][k][d], float (double for double points), of any length; under
///     metric::cosine scaled to length 1, where they differ from it by more than rounding; rounded
///     to the type of half and bfloat16 points for the comparison
/// @param[out] outputs device: labels [b][n] int32, and optionally distances [b][n]: the metric's
///     distance to that centroid (euclidean: squared, from differences), computed in the centroids'
///     own type; a plain label pointer converts
/// @param[in] options metric
/// @param[in] exec stream, workspace (predict_workspace_bytes), forced kernel, precision of float
///     and screening
///
/// Ties go to the lowest index, so a point of zeros gets label 0 under metric::cosine, at distance
/// 1; so does one whose centroids are all zeros. A NaN never wins, and a point with a NaN gets label
/// 0. A distance that is not finite is NaN: that of a point that holds a NaN or an infinity, or whose
/// squares or products overflow the centroids' type.
/// Cost: 2 b n k d FLOPs and one read of the points, one more for distances. native float on Hopper:
/// six times the FLOPs, in bfloat16. Screened, float and double: once in half, and in full for the
/// points that are left open.
/// Deterministic. Synchronises nothing and, given a workspace, allocates nothing; can be captured
/// into a CUDA graph.
/// Throws std::invalid_argument naming argument and value before anything is queued, and
/// cuda_error.
template <class P, class C>
assign_kernel predict_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                            predict_outputs<centroid_t<P>> const& outputs,
                            query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_predict(x, centroids, outputs, options);
  return detail::queue_predictions<T>({{x, centroids, outputs}}, options, exec);
}

/// predict_async, then waits for the stream.
template <class P, class C>
assign_kernel predict(matrix_view<P> const& x, matrix_view<C> const& centroids,
                      predict_outputs<centroid_t<P>> const& outputs,
                      query_options const& options = {}, execution const& exec = {}) {
  assign_kernel const kernel = predict_async(x, centroids, outputs, options, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "predict");
  return kernel;
}

/// Bytes of execution::workspace that top_k and top_k_async need for these shapes on the current
/// device: as predict_workspace_bytes for the kernels simt and sm80, and lists of 8 bytes (12 for
/// double) x j for each of at most 2 x 128 points (64 for double) a multiprocessor, 17 MiB on an
/// H200 for j = 64; for points of one byte a value their copy in half too. The data is not read, and
/// pointers may be null.
template <class P, class C>
std::size_t top_k_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids, int j,
                                  query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_j(j, centroids.rows, detail::kMaxNearest);
  detail::check_metric(options.metric);
  detail::arena sizing;
  detail::top_k_memory<T>(detail::placed_for_sizing(matrix_view<T const>(x)), centroids, j,
                          options.metric, detail::plan_nearest_j<detail::compute_t<T>>(exec),
                          sizing);
  return sizing.used();
}

/// The j nearest centroids of every point, nearest first, queued on the stream: what an index of
/// inverted lists probes with. Returns the kernel that it runs on.
///
/// @param[in] x,centroids as for predict_async
/// @param[in] j how many, 1 <= j <= min(k, 64)
/// @param[out] outputs device: labels [b][n][j] int32, and optionally distances [b][n][j], each
///     computed as predict_async does; a plain label pointer converts
/// @param[in] options metric
/// @param[in] exec stream, workspace (top_k_workspace_bytes), forced kernel: simt, or sm80 for half
///     and bfloat16; precision and screening have no effect
///
/// Ties go to the lowest index. The order is that of the scores which predict compares, so the first
/// label is that of predict on the same kernel, and distances, which are computed anew from the
/// centroids as given, may be out of order by rounding. Centroids whose scores are not finite come
/// last, in order of their index: of a point that holds a NaN or an infinity the labels are 0 to j -
/// 1 and the distances NaN.
/// Cost: 2 b n k d FLOPs on the tensor cores for half and bfloat16 (kernel sm80, on Hopper too) and
/// on the FMA units for float and double, and one read of the points. About j (1 + ln(k / j))
/// centroids a point are sorted into its list, which costs as much as the products where j is large
/// and k d is not. The n x k scores never reach memory. With few points the centroids are divided
/// among blocks too. Distances: 3 b n j d FLOPs and a read of as many centroids.
/// Deterministic. Synchronises nothing and, given a workspace, allocates nothing; can be captured
/// into a CUDA graph. Throws as predict_async.
template <class P, class C>
assign_kernel top_k_async(matrix_view<P> const& x, matrix_view<C> const& centroids, int j,
                          top_k_outputs<centroid_t<P>> const& outputs,
                          query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_j(j, centroids.rows, detail::kMaxNearest);
  detail::check_pointer(outputs.labels, "labels");
  detail::check_optional(outputs.distances, "distances");
  detail::check_metric(options.metric);
  detail::profiler_range const range("flash_kmeans.top_k");
  detail::assign_plan const plan = detail::plan_nearest_j<detail::compute_t<T>>(exec);
  detail::workspace block(exec);
  auto pieces = block.lay_out([&](detail::arena& memory) {
    return detail::top_k_memory<T>(x, centroids, j, options.metric, plan, memory);
  });
  pieces.near.prepare();
  pieces.near.start(exec.stream);
  auto const& search = pieces.near.search();
  pieces.several.queue(search.products(), outputs.labels, exec.stream);
  if (outputs.distances != nullptr) {
    search.queue_distances(outputs.labels, j, outputs.distances, exec.stream);
  }
  return plan.kernel;
}

/// top_k_async, then waits for the stream.
template <class P, class C>
assign_kernel top_k(matrix_view<P> const& x, matrix_view<C> const& centroids, int j,
                    top_k_outputs<centroid_t<P>> const& outputs, query_options const& options = {},
                    execution const& exec = {}) {
  assign_kernel const kernel = top_k_async(x, centroids, j, outputs, options, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "top_k");
  return kernel;
}

/// Bytes of execution::workspace that transform and transform_async need for these shapes: none, but
/// under metric::cosine b k d elements of the centroids' type, d rounded up to 16 bytes, and 2 b n d
/// bytes for points of one byte a value, d rounded up to a multiple of 8.
template <class P, class C>
std::size_t transform_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                      query_options const& options = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_metric(options.metric);
  detail::arena sizing;
  detail::transform_memory<T>(x, centroids, options.metric, sizing);
  return sizing.used();
}

/// Distances of all points to all centroids, queued on the stream.
///
/// @param[in] x,centroids as for predict_async, but centroids are not rounded to the type of points
/// @param[out] distances device, [b][n][k] in the centroids' type: rows any distance apart, which must
///     not overlap; the metric's distance, euclidean: squared
/// @param[in] options metric
/// @param[in] exec stream, workspace (transform_workspace_bytes); kernel, precision and
///     screening have no effect
///
/// Squared distances are sums of squared differences, so nothing cancels; a distance that is not
/// finite is NaN, as in predict_async.
/// Cost: 3 b n k d FLOPs (2 for other metrics than euclidean) on the FMA units, one write of
/// distances; points and centroids are read once for every 128 (64 for double) of the other.
/// Deterministic. Synchronises nothing and, given a workspace or none needed, allocates nothing; can
/// be captured into a CUDA graph. Throws as predict_async.
template <class P, class C>
void transform_async(matrix_view<P> const& x, matrix_view<C> const& centroids,
                     matrix_view<std::remove_const_t<C>> const& distances,
                     query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_distances(distances, x, centroids.rows);
  detail::check_metric(options.metric);
  detail::profiler_range const range("flash_kmeans.transform");
  detail::workspace block(exec);
  auto pieces = block.lay_out([&](detail::arena& memory) {
    return detail::transform_memory<T>(x, centroids, options.metric, memory);
  });
  pieces.points.queue(exec.stream);
  pieces.masters.queue(exec.stream);
  detail::queue_transform<detail::compute_t<T>>(pieces.points.view(), pieces.masters.view(),
                                                distances, options.metric, exec.stream);
}

/// transform_async, then waits for the stream.
template <class P, class C>
void transform(matrix_view<P> const& x, matrix_view<C> const& centroids,
               matrix_view<std::remove_const_t<C>> const& distances,
               query_options const& options = {}, execution const& exec = {}) {
  transform_async(x, centroids, distances, options, exec);
  detail::check_cuda(cudaStreamSynchronize(exec.stream), "transform");
}

/// Bytes of execution::workspace that inertia and inertia_async need for these shapes on the
/// current device: as predict_workspace_bytes, and 4 b n + 8 b bytes more.
template <class P, class C>
std::size_t inertia_workspace_bytes(matrix_view<P> const& x, matrix_view<C> const& centroids,
                                    query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_shapes(x, centroids);
  detail::check_metric(options.metric);
  detail::arena sizing;
  detail::inertia_memory<T>(detail::placed_for_sizing(matrix_view<T const>(x)), centroids,
                            options.metric, detail::plan_assignment<detail::compute_t<T>>(exec),
                            sizing);
  return sizing.used();
}

/// Sum over points of weight x distance to the nearest centroid, one per problem, queued on the
/// stream.
///
/// @param[in] x,centroids as for predict_async
/// @param[out] sums device, [b] double; euclidean: in squared units of the features
/// @param[in] options metric, and weights: device, [b][n], float (double for double points)
/// @param[in] exec stream, workspace (inertia_workspace_bytes), forced kernel, precision of float
///     and screening
///
/// Points whose distance is not finite (see predict_async) are left out of the sum.
/// Cost: one assignment and one more read of the points. Distances are those of predict_async; sums
/// run in double and in a fixed order, so the result is deterministic.
/// Synchronises nothing and, given a workspace, allocates nothing; throws as predict_async, and
/// std::invalid_argument where weights are of the other type.
template <class P, class C>
void inertia_async(matrix_view<P> const& x, matrix_view<C> const& centroids, double* sums,
                   query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  detail::check_pointer(sums, "sums");
  detail::run_inertia<T>(x, centroids, sums, options, exec, [](double const*) {});
}

/// inertia_async, then waits for the stream; returns the sum over the problems.
template <class P, class C>
double inertia(matrix_view<P> const& x, matrix_view<C> const& centroids,
               query_options const& options = {}, execution const& exec = {}) {
  using T = std::remove_const_t<P>;
  detail::check_point_type<T>();
  detail::check_centroid_type<P, C>();
  double total = 0;
  detail::run_inertia<T>(x, centroids, nullptr, options, exec, [&](double const* sums) {
    total = detail::fetch_sum(sums, x.batch_count(), exec.stream, "inertia");
  });
  return total;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans
