// The CPU backend: the verbs of the library over host memory. Plain C++17 and std::thread, no CUDA.
//
// The algorithm, options, semantics and results are those of the GPU verbs, so that code which uses
// the library can be built, run and tested where there is no GPU. Points may be float, double,
// std::uint8_t, std::int8_t, __half, __nv_bfloat16, or anything else that static_cast turns into a
// float. Centroids are double for double points and float for all others, and so are the scores of
// an assignment; sums, means and inertia are accumulated in double.
//
// Determinism: the same input and options give the same bits, whatever the number of threads and
// however a batch is split among them.
//
// Verbs are in an inline namespace that carries the instruction set which the compiler targets, so
// that translation units with different -m options link into one program (detail/host/abi.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "detail/calls.hpp"
#include "detail/checks.hpp"
#include "detail/host/abi.hpp"
#include "detail/host/assign.hpp"
#include "detail/host/fit.hpp"
#include "detail/host/lloyd.hpp"
#include "detail/host/nearest.hpp"
#include "detail/host/points.hpp"
#include "detail/host/rows.hpp"
#include "detail/host/scratch.hpp"
#include "detail/host/seed.hpp"
#include "detail/host/sort.hpp"
#include "detail/host/team.hpp"
#include "detail/host/vector.hpp"
#include "types.hpp"

/// The same verbs on the CPU, threaded, in plain C++17: same options, same results.
namespace flash_kmeans::host {

/// How a call runs on the CPU.
struct execution {
  /// Threads, the calling one included; >= 0, and 0 is as many as the machine runs at once. A call
  /// uses fewer where the work is too small or the system gives no more, and joins all that it
  /// started before it returns or throws. Results do not depend on it.
  int threads = 0;
};

inline namespace FLASH_KMEANS_ABI_HOST {

/// First centroids of a fit; each is a point as it lies. What each init_method does:
/// - random: centroid j of problem i is the row that the j-th draw without replacement picks.
/// - kmeans_plus_plus: the first point is drawn with a probability in proportion to its weight, every
///   other one is the best of options.candidates points drawn in proportion to weight x distance to
///   the nearest centroid so far: the one that leaves the least sum of these. Distances are squared,
///   or 1 - cos for metric::cosine. A point of weight 0 is not drawn, nor is a row of zeros under
///   metric::cosine. When every point coincides with a centroid or weighs nothing, the point of the
///   lowest index that is no centroid yet is taken. Draws are those of the GPU, where two centroids
///   share a pass: see init_centroids_async in init.cuh.
/// - kmeans_parallel: one point as above, then five rounds that take every point with a probability
///   of k x its share in the sum of weight x distance, 3/2 k + 64 points a round at most; then
///   kmeans_plus_plus among the points taken, each with the weight of all points that are nearest to
///   it. Where fewer than k were taken, points of init_method::random join them.
/// - given: what is there stays.
/// Points with a NaN or an infinity are passed over. Where fewer than k are left, they are repeated,
/// and where none is, centroids are zero.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[in] options init, seed, candidates, metric and weights (host [b][n]) are read; default
///     random, seed 0
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: random: reads and writes b k d elements. kmeans_plus_plus: 3 b n k d x candidates FLOPs in
/// double, and 25 n bytes a problem. kmeans_parallel: 2 b n d x 5 k FLOPs, and besides what
/// kmeans_plus_plus costs for about 5 k points a copy of these.
/// Synchronises: returns when done.
/// Determinism: the draws depend on points, weights, options and i only, whatever the number of
/// threads; on exact data (small integers) they are those of the GPU's init_centroids.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, an unknown init or metric, candidates outside [0,
/// 64], weights of the wrong type or with a value that is negative or not finite, a negative number
/// of threads; std::bad_alloc.
template <class P, class C>
void init_centroids(matrix_view<P> x, matrix_view<C> centroids, fit_options const& options = {},
                    execution const& exec = {}) {
  detail::check_written_type<P, C>();
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_seeding<C>(options, x.rows, centroids.rows);
  cpu::check_threads(exec.threads);
  cpu::check_weight_values<C>(options.weights, 0, x.batch_count(), x.rows);
  bool const measures =
      options.init == init_method::kmeans_plus_plus || options.init == init_method::kmeans_parallel;
  cpu::team workers(exec.threads);
  cpu::scratch<C> shared;
  cpu::for_each_problem(
      workers, shared, x.batch_count(), cpu::seeding_cost(x, centroids, options),
      [&](cpu::team& t, cpu::scratch<C>& s, std::int64_t i) {
        auto const points = cpu::problem(x, i);
        cpu::point_facts<C> facts;
        if (measures) {
          facts = cpu::look_at_points<P, C>(t, points, options.metric,
                                            cpu::weights_of<C>(options.weights, i, x.rows));
        }
        cpu::draw_centroids(t, s, points, cpu::problem(centroids, i), options.first_problem + i,
                            options, options.seed, facts);
      });
}

/// The nearest centroid of each point: the j with the largest x.c_j - |c_j|^2 / 2 (euclidean),
/// x.c_j / |c_j| (cosine) or x.c_j (inner_product), computed in float (double for double points);
/// ties go to the lowest j. NaN never wins. A point with a NaN or an infinity gets label 0 and
/// distance NaN. Centroids are taken as they are for every point type; the GPU rounds them to half
/// and bfloat16 points' type for this comparison.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     distances: host [b][n], type of the centroids, optional, default null: the metric's distance
///     to that centroid (euclidean: squared), from products or differences in double, rounded once;
///     NaN where it is not finite
/// @param[in] options only metric matters; default euclidean
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d FLOPs; reads x once and writes 4 to 12 bytes a point; memory: a copy of a
/// problem's centroids, and 48 d elements a thread.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, an unknown metric, weights of the wrong type, a negative
/// number of threads; std::bad_alloc.
template <class P, class C>
void predict(matrix_view<P> x, matrix_view<C> centroids, predict_outputs<centroid_t<P>> const& out,
             query_options const& options = {}, execution const& exec = {}) {
  detail::check_predict(x, centroids, out, options);
  detail::cpu::run_predictions<P, C>({{x, centroids, out}}, options.metric, exec.threads);
}

/// predict of every sequence among its own centroids, in one call; sequences are searched one after
/// the other.
///
/// @param[in] x,centroids host, as for fit of sequences; centroids const or not, k may exceed n
/// @param[out] out labels and, on request, distances, one problem after the other
/// @param[in] options only metric matters; default euclidean
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Costs, synchronises and throws as predict of one batch.
template <class P, class C>
void predict(ragged_view<P> x, ragged_view<C> centroids, predict_outputs<centroid_t<P>> const& out,
             query_options const& options = {}, execution const& exec = {}) {
  detail::check_centroid_type<P, C>();
  auto const calls = detail::queries_of<P, C>(x, centroids, out);
  for (auto const& call : calls) {
    detail::check_predict(call.x, call.centroids, call.out, options);
  }
  detail::cpu::run_predictions<P, C>(calls, options.metric, exec.threads);
}

/// The j nearest centroids of each point, nearest first: what an index of inverted lists probes
/// with. Ties go to the lowest index. The order is that of the scores that predict compares, so that
/// the first label is that of predict; distances are computed anew, and may be out of order by
/// rounding. Centroids whose scores are NaN come last, in order of their index: a point with a NaN
/// or an infinity has labels 0 to j - 1 and distances NaN.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[in] j how many, 1 <= j <= min(k, 64)
/// @param[out] out labels: host [b][n][j] int32, contiguous, required (a plain pointer converts);
///     distances: host [b][n][j], type of the centroids, optional, default null: the metric's
///     distances (euclidean: squared), as by predict
/// @param[in] options only metric matters; default euclidean
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d FLOPs, and 3 b n j d for distances; reads x once; memory as predict, and 25 KB a
/// thread (37 KB for double points).
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, j outside [1, min(k, 64)], an unknown metric, weights of
/// the wrong type, a negative number of threads; std::bad_alloc.
template <class P, class C>
void top_k(matrix_view<P> x, matrix_view<C> centroids, int j,
           top_k_outputs<centroid_t<P>> const& out, query_options const& options = {},
           execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_j(j, centroids.rows, cpu::kMostNearest);
  detail::check_pointer(out.labels, "labels");
  detail::check_optional(out.distances, "distances");
  detail::check_query<compute>(options);
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          std::int64_t const offset = i * x.rows * j;
                          cpu::nearest_centroids<P, compute>(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i), options.metric,
                              j, out.labels + offset,
                              out.distances != nullptr ? out.distances + offset : nullptr);
                        });
}

/// Distances of all points to all centroids: the metric's, so euclidean ones are squared, as by
/// predict and to the same bits. A distance that is not finite, and every one of a point with a NaN
/// or an infinity, is NaN.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[out] distances host [b][n][k], type of the centroids; rows any distance apart, which must
///     not overlap
/// @param[in] options only metric matters; default euclidean
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 3 b n k d FLOPs in double (more under cosine); reads x once, writes b n k distances; no
/// memory of its own.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, distances that overlap, an unknown metric, weights of the
/// wrong type, a negative number of threads.
template <class P, class C>
void transform(matrix_view<P> x, matrix_view<C> centroids,
               matrix_view<std::remove_const_t<C>> const& distances,
               query_options const& options = {}, execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_distances(distances, x, centroids.rows);
  detail::check_query<compute>(options);
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>&, std::int64_t i) {
                          cpu::all_distances(t, cpu::problem(x, i), cpu::problem(centroids, i),
                                             options.metric, cpu::problem(distances, i));
                        });
}

/// Sum over the points of weight x distance to the nearest centroid (chosen as by predict), from
/// products or differences in double; summed over the batch. A point with a NaN or an infinity is
/// left out. NaN where a centroid that is nearest holds NaN.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[in] options metric, default euclidean; weights host [b][n], default all 1
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d + 3 b n d FLOPs; reads x once; memory as predict, and b doubles.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads (blocks of 480 points, added in order).
/// Throws: std::invalid_argument for null or misaligned pointers, shapes or strides out of range or
/// not matching, an unknown metric, weights of the wrong type or with a value that is negative or
/// not finite, a negative number of threads; std::bad_alloc.
template <class P, class C>
double inertia(matrix_view<P> x, matrix_view<C> centroids, query_options const& options = {},
               execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_query<compute>(options);
  cpu::check_threads(exec.threads);
  cpu::check_weight_values<compute>(options.weights, 0, x.batch_count(), x.rows);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::vector<double> sums(static_cast<std::size_t>(x.batch_count()), 0.0);
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          sums[static_cast<std::size_t>(i)] = cpu::assign_points<P, compute>(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i), options.metric,
                              cpu::weights_of<compute>(options.weights, i, x.rows), nullptr,
                              nullptr, true);
                        });
  return cpu::sum_in_order(sums);
}

/// One update: each centroid becomes the mean of the points that carry its label, or under cosine
/// the mean of their directions scaled to length 1. A cluster without points, or with points that
/// all weigh 0, keeps its centroid, and so does one whose directions add up to nothing. A point
/// whose label is outside [0, k), or that holds a NaN or an infinity, counts for no cluster.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] labels host [b][n] int32, contiguous
/// @param[in,out] centroids host [b][k][d], float (double for double points); sums and quotients
///     are double, rounded once; k may exceed n
/// @param[out] out index: optional by-products, default none; points that count for no cluster come
///     last in order, and offsets[k] is the number of those that count; shift: host [b], optional,
///     default null: sum of the squared distances that the centroids of each problem moved
/// @param[in] options metric, default euclidean; weights host [b][n], default all 1
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Returns the shifts summed over the batch, in squared units of the features.
/// Cost: b n d FLOPs; reads x once (float types twice) and labels twice; memory: 4 n + 48 k bytes,
/// at most 16 n more to sort on several threads, 8 n under cosine, and d doubles for every 1024
/// points of clusters larger than that; once for each thread where problems are updated side by
/// side.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads (sums of 1024 points of a cluster, in ascending
/// order, added in order).
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, an unknown metric, weights of the wrong type or with a
/// value that is negative or not finite, a negative number of threads; std::bad_alloc.
template <class P, class C>
double update_centroids(matrix_view<P> x, std::int32_t const* labels, matrix_view<C> centroids,
                        update_outputs const& out = {}, update_options const& options = {},
                        execution const& exec = {}) {
  detail::check_written_type<P, C>();
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_pointer(labels, "labels");
  detail::check_index(out.index);
  detail::check_optional(out.shift, "shift");
  detail::check_metric(options.metric);
  detail::check_weights<compute>(options.weights);
  cpu::check_threads(exec.threads);
  cpu::check_weight_values<compute>(options.weights, 0, x.batch_count(), x.rows);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::vector<double> shifts(static_cast<std::size_t>(x.batch_count()), 0.0);
  double const cost = static_cast<double>(x.rows) * static_cast<double>(x.cols + 8);
  cpu::for_each_problem(workers, shared, x.batch_count(), cost,
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          auto const points = cpu::problem(x, i);
                          auto const facts = cpu::look_at_points<P, compute>(
                              t, points, options.metric,
                              cpu::weights_of<compute>(options.weights, i, x.rows));
                          shifts[static_cast<std::size_t>(i)] = cpu::update_problem(
                              t, s, points, labels + i * x.rows, cpu::problem(centroids, i), facts);
                          cpu::write_index(s, out.index, i);
                        });
  if (out.shift != nullptr) std::copy(shifts.begin(), shifts.end(), out.shift);
  return cpu::sum_in_order(shifts);
}

/// Exact k-means (Lloyd: Least Squares Quantization in PCM, 1982): the first centroids, then assign
/// and update until the centroids of a problem moved, in one update, by squared distances that sum
/// to no more than options.tolerance x the mean over features of the variance of its points, or
/// until options.max_iterations updates are done. Each problem of a batch stops by itself and stays
/// as it is from then on. Last, unless options.closing_assignment is false, one more assignment
/// makes labels, index and inertia belong to the returned centroids. options.n_init such fits are
/// made one after the other; of each problem everything returned is that of its best one.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[in,out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     index, status, records: optional, default none; status is host [b], records
///     [b][max_iterations]
/// @param[in] options default: euclidean, at most 300 updates, tolerance 1e-4, random, seed 0,
///     closing assignment; weights host [b][n], default all 1
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Returns most iterations over the problems, whether all converged, inertia and non-finite points
/// summed over the batch (inertia NaN without the closing assignment) and assign_kernel::host.
/// Cost: 2 b n k d FLOPs an iteration and for the closing assignment; reads x twice an iteration,
/// once more unless points are integers, and twice more for the variance unless tolerance is 0;
/// memory as predict and update_centroids, and 8 b n bytes under cosine. Seeding as init_centroids.
/// n_init of all this, and labels and centroids once more.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, max_iterations < 1, a tolerance that is negative or
/// not finite, an unknown init, metric or empty_cluster, a max_size_ratio that is not 0 and below 1
/// or not finite, n_init < 1, n_init > 1 with given centroids
/// with records or without the closing assignment, candidates outside [0, 64], weights of the wrong
/// type or with a value that is negative or not finite, with check_input the first point that is
/// not finite, a negative number of threads; std::bad_alloc; whatever options.progress throws.
///
/// @code{.cpp}
/// std::vector<float> points = ..., centroids(k * d);
/// std::vector<std::int32_t> labels(n);
/// flash_kmeans::matrix_view<float const> x{points.data(), n, d};
/// flash_kmeans::matrix_view<float> c{centroids.data(), k, d};
/// flash_kmeans::fit_result r = flash_kmeans::host::fit(x, c, labels.data());
/// @endcode
template <class P, class C>
fit_result fit(matrix_view<P> x, matrix_view<C> centroids, fit_outputs const& out,
               fit_options const& options = {}, execution const& exec = {}) {
  detail::check_written_type<P, C>();
  detail::check_fit(x, centroids, out, options);
  return detail::cpu::run_fits<P, C>({{x, centroids, out, options}}, exec.threads);
}

/// fit of every sequence, each with its own n and k, in one call.
///
/// @param[in] x host, rows of all sequences and heads, any point type
/// @param[in,out] centroids host, float (double for double points), as many sequences and heads as
///     x; 1 <= k <= n for every sequence
/// @param[out] out as for one batch, one problem after the other: labels, order and inverse of
///     problem (i, j) begin at heads x (offsets[i] - offsets[0]) + j n_i, counts likewise by the
///     offsets of centroids, offsets (k_i + 1 each) as well; status [problems], records
///     [problems][max_iterations]
/// @param[in] options as for one batch; weights lie like labels. Problem (i, j) draws with number
///     first_problem + i x heads + j. Where progress wants no more, the sequences that follow end
///     after their first update
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Every sequence gets, to the bit, what fit gives it as a batch of its heads. Sequences are fitted
/// side by side, a thread each, where they are many or small.
/// Returns, costs, synchronises and throws as fit of one batch, with nothing written where one
/// sequence is at fault.
template <class P, class C>
fit_result fit(ragged_view<P> x, ragged_view<C> centroids, fit_outputs const& out,
               fit_options const& options = {}, execution const& exec = {}) {
  detail::check_written_type<P, C>();
  auto const calls = detail::fits_of<P, C>(x, centroids, out, options);
  detail::check_ragged_fit(centroids, calls);
  return detail::cpu::run_fits<P, C>(calls, exec.threads);
}

/// Adds centroids to a set that grows with its points: of every problem, rows [first, k) of the
/// centroids are fitted to new points, and those before stay as they are.
///
/// @param[in] x host [b][n][d], the new points, any point type
/// @param[in,out] centroids host [b][k][d], with the centroids that are there in rows [0, first) and
///     room for those that are added after them; k - first <= n; rows from `first` on are read
///     for init_method::given
/// @param[in] first row of the first centroid that is added, 0 <= first < k
/// @param[out] out labels: host [b][n], count from `first`, as rows of centroids do; a point with a
///     NaN or an infinity gets `first`. By-products are those of the added centroids: counts
///     [b][k - first] and offsets [b][k - first + 1]; status and records as for fit
/// @param[in] options,exec as for fit
///
/// New points belong to new centroids, even where an old one is nearer: predict with all of the
/// centroids tells. Results are, to the bit, those of fit with the added rows alone.
/// Returns, costs, synchronises and throws as fit, and for `first` outside [0, k).
template <class P, class C>
fit_result append(matrix_view<P> x, matrix_view<C> centroids, std::int64_t first,
                  fit_outputs const& out, fit_options const& options = {},
                  execution const& exec = {}) {
  detail::check_written_type<P, C>();
  return detail::cpu::run_fits<P, C>(
      {detail::checked_append<P, C>(x, centroids, first, out, options)}, exec.threads);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::host
