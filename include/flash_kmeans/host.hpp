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
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "detail/checks.hpp"
#include "detail/host/assign.hpp"
#include "detail/host/init.hpp"
#include "detail/host/rows.hpp"
#include "detail/host/scratch.hpp"
#include "detail/host/sort.hpp"
#include "detail/host/team.hpp"
#include "detail/host/update.hpp"
#include "detail/host/variance.hpp"
#include "detail/outputs.hpp"
#include "types.hpp"

/// The same verbs on the CPU, threaded, in plain C++17: same options, same results.
namespace flash_kmeans::host {

/// How a call runs on the CPU.
struct execution {
  /// Threads, the calling one included; >= 0, and 0 is as many as the machine runs at once. A call
  /// uses fewer where the work is too small or the system gives no more, and joins all that it
  /// started before it returns or throws. Results do not depend on it.
  int threads = 0;
  /// fit only, optional: called on the calling thread after each update, with the number of updates
  /// so far (from 1) and the sum of the squared distances that centroids moved in it, over the
  /// problems of the batch that had not converged before. An exception that it throws ends the fit
  /// and reaches the caller; the outputs then hold unfinished values.
  std::function<void(int iteration, double shift)> progress{};
};

/// First centroids of a fit: for init_method::random, centroid j of problem i is a copy of the row
/// of x that the j-th draw without replacement picks; for init_method::given, what is there stays.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[in] options only init and seed are read; default random, seed 0
/// @param[in] exec threads >= 0, default 0 (all); the work is a copy and runs on one
///
/// Cost: reads and writes b k d elements; no memory of its own.
/// Synchronises: returns when done.
/// Determinism: the draw depends on n, i and seed only, and is that of the GPU's init_centroids.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, an unknown init, a negative number of threads.
template <class P, class C>
void init_centroids(matrix_view<P> x, matrix_view<C> centroids, fit_options const& options = {},
                    execution const& exec = {}) {
  detail::check_written_type<P, C>();
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_k_at_most_n(centroids.rows, x.rows);
  detail::check_init(options.init);
  detail::cpu::check_threads(exec.threads);
  if (options.init != init_method::random) return;
  for (std::int64_t i = 0; i < x.batch_count(); ++i) {
    detail::cpu::draw_centroids(detail::cpu::problem(x, i), detail::cpu::problem(centroids, i), i,
                                options.seed);
  }
}

/// The nearest centroid of each point, by euclidean distance: the j with the largest x.c_j -
/// |c_j|^2 / 2, computed in float (double for double points); ties go to the lowest j. NaN never
/// wins, so a point that holds NaN gets label 0. Centroids are taken as they are for every point
/// type; the GPU rounds them to half and bfloat16 points' type for this comparison.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     distances: host [b][n], type of the centroids, optional, default null: squared distance to
///     that centroid, from the differences in double, rounded once
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d FLOPs; reads x once and writes 4 to 12 bytes a point; memory: a copy of a
/// problem's centroids, and 48 d elements a thread.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
void predict(matrix_view<P> x, matrix_view<C> centroids, predict_outputs<centroid_t<P>> const& out,
             execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_pointer(out.labels, "labels");
  detail::check_optional(out.distances, "distances");
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          compute* const distances =
                              out.distances != nullptr ? out.distances + i * x.rows : nullptr;
                          cpu::assign_points(t, s, cpu::problem(x, i), cpu::problem(centroids, i),
                                             out.labels + i * x.rows, distances, false);
                        });
}

/// Sum over the points of the squared distance to the nearest centroid (chosen as by predict), from
/// the differences in double; summed over the batch. NaN where a point or its centroid holds NaN.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] centroids host [b][k][d], float (double for double points), const or not; k may
///     exceed n
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Cost: 2 b n k d + 3 b n d FLOPs; reads x once; memory as predict, and b doubles. Synchronises:
/// returns when done.
/// Determinism: same bits for any number of threads (blocks of 480 points, added in order). Throws:
/// std::invalid_argument for null or misaligned pointers, shapes or strides out of range or not
/// matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
double inertia(matrix_view<P> x, matrix_view<C> centroids, execution const& exec = {}) {
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<double> sums(static_cast<std::size_t>(x.batch_count()), 0.0);
  cpu::for_each_problem(workers, shared, x.batch_count(), cpu::assignment_cost(x, centroids),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          sums[static_cast<std::size_t>(i)] = cpu::assign_points<P, compute>(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i), nullptr,
                              nullptr, true);
                        });
  return cpu::sum_in_order(sums);
}

/// One update: each centroid becomes the mean of the points that carry its label. A cluster without
/// points keeps its centroid; a point whose label is outside [0, k) counts for no cluster.
///
/// @param[in] x host [b][n][d], any point type
/// @param[in] labels host [b][n] int32, contiguous
/// @param[in,out] centroids host [b][k][d], float (double for double points); sums and quotients
///     are double, rounded once; k may exceed n
/// @param[out] out index: optional by-products, default none; points that count for no cluster come
///     last in order, and offsets[k] is the number of those that count; shift: host [b], optional,
///     default null: sum of the squared distances that the centroids of each problem moved
/// @param[in] exec threads >= 0, default 0 (all)
///
/// Returns the shifts summed over the batch, in squared units of the features.
/// Cost: b n d FLOPs; reads x once and labels twice; memory: 4 n + 48 k bytes, at most 16 n more to
/// sort on several threads, and d doubles for every 1024 points of clusters larger than that; once
/// for each thread where problems are updated side by side.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads (sums of 1024 points of a cluster, in ascending
/// order, added in order).
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, a negative number of threads; std::bad_alloc.
template <class P, class C>
double update_centroids(matrix_view<P> x, std::int32_t const* labels, matrix_view<C> centroids,
                        update_outputs const& out = {}, execution const& exec = {}) {
  detail::check_written_type<P, C>();
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_views(x, centroids);
  detail::check_written(centroids);
  detail::check_pointer(labels, "labels");
  detail::check_index(out.index);
  detail::check_optional(out.shift, "shift");
  cpu::check_threads(exec.threads);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<double> shifts(static_cast<std::size_t>(x.batch_count()), 0.0);
  double const cost = static_cast<double>(x.rows) * static_cast<double>(x.cols + 8);
  cpu::for_each_problem(workers, shared, x.batch_count(), cost,
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          cpu::sort_points(t, s, labels + i * x.rows, x.rows, centroids.rows);
                          cpu::write_index(s, out.index, i);
                          shifts[static_cast<std::size_t>(i)] = cpu::move_centroids(
                              t, s, cpu::problem(x, i), cpu::problem(centroids, i));
                        });
  if (out.shift != nullptr) std::copy(shifts.begin(), shifts.end(), out.shift);
  return cpu::sum_in_order(shifts);
}

/// Exact k-means (Lloyd: Least Squares Quantization in PCM, 1982): the first centroids, then assign
/// and update until the centroids of a problem moved, in one update, by squared distances that sum
/// to no more than options.tolerance x the mean over features of the variance of its points, or
/// until options.max_iterations updates are done. Each problem of a batch stops by itself and stays
/// as it is from then on. Last, unless options.closing_assignment is false, one more assignment
/// makes labels, index and inertia belong to the returned centroids.
///
/// @param[in] x host [b][n][d], any point type, n >= k
/// @param[in,out] centroids host [b][k][d], float (double for double points); in for
///     init_method::given
/// @param[out] out labels: host [b][n] int32, contiguous, required (a plain pointer converts);
///     index, status: optional, default none; status is host [b]
/// @param[in] options default: at most 300 updates, tolerance 1e-4, random, seed 0, closing
///     assignment
/// @param[in] exec threads >= 0, default 0 (all); progress, default none
///
/// Returns most iterations over the problems, whether all converged, inertia summed over the batch
/// (NaN without the closing assignment) and assign_kernel::host.
/// Cost: 2 b n k d FLOPs an iteration and for the closing assignment; reads x twice an iteration,
/// and twice more for the variance unless tolerance is 0; memory as predict and update_centroids.
/// Synchronises: returns when done.
/// Determinism: same bits for any number of threads.
/// Throws: std::invalid_argument, with nothing written, for null or misaligned pointers, shapes or
/// strides out of range or not matching, k > n, max_iterations < 1, a tolerance that is negative or
/// not finite, an unknown init, a negative number of threads; std::bad_alloc; whatever progress
/// throws.
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
  using compute = centroid_t<P>;
  namespace cpu = detail::cpu;
  detail::check_fit(x, centroids, out, options);
  cpu::check_threads(exec.threads);
  std::int64_t const b = x.batch_count(), n = x.rows;
  double const cost = cpu::assignment_cost(x, centroids);
  cpu::team workers(exec.threads);
  cpu::scratch<compute> shared;
  std::vector<fit_status> status(static_cast<std::size_t>(b));
  std::vector<double> bounds(status.size(), 0.0);
  std::vector<std::int64_t> running(status.size());  // problems that have not converged
  auto at = [](auto& values, std::int64_t i) -> auto& {
    return values[static_cast<std::size_t>(i)];
  };

  cpu::for_each_problem(workers, shared, b, static_cast<double>(n) * static_cast<double>(x.cols),
                        [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
                          auto const points = cpu::problem(x, i);
                          if (options.init == init_method::random) {
                            cpu::draw_centroids(points, cpu::problem(centroids, i), i,
                                                options.seed);
                          }
                          if (options.tolerance > 0) {
                            at(bounds, i) = options.tolerance * cpu::mean_variance(t, s, points);
                          }
                          at(running, i) = i;
                        });

  for (int iteration = 1; iteration <= options.max_iterations && !running.empty(); ++iteration) {
    cpu::for_each_problem(workers, shared, static_cast<std::int64_t>(running.size()), cost,
                          [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t r) {
                            std::int64_t const i = at(running, r);
                            auto const points = cpu::problem(x, i);
                            auto const means = cpu::problem(centroids, i);
                            std::int32_t* const labels = out.labels + i * n;
                            cpu::assign_points<P, compute>(t, s, points, means, labels, nullptr,
                                                           false);
                            cpu::sort_points(t, s, labels, n, means.rows);
                            fit_status& own = at(status, i);
                            own.shift = cpu::move_centroids(t, s, points, means);
                            own.iterations = iteration;
                            own.converged = own.shift <= at(bounds, i) ? 1 : 0;
                          });
    double shift = 0;
    for (std::int64_t const i : running) shift += at(status, i).shift;
    running.erase(std::remove_if(running.begin(), running.end(),
                                 [&](std::int64_t i) { return at(status, i).converged != 0; }),
                  running.end());
    if (exec.progress) exec.progress(iteration, shift);
  }

  cpu::for_each_problem(
      workers, shared, b, cost, [&](cpu::team& t, cpu::scratch<compute>& s, std::int64_t i) {
        std::int32_t* const labels = out.labels + i * n;
        at(status, i).inertia =
            options.closing_assignment
                ? cpu::assign_points<P, compute>(t, s, cpu::problem(x, i),
                                                 cpu::problem(centroids, i), labels, nullptr, true)
                : std::numeric_limits<double>::quiet_NaN();
        if (detail::wanted(out.index)) {
          cpu::sort_points(t, s, labels, n, centroids.rows);
          cpu::write_index(s, out.index, i);
        }
      });

  if (out.status != nullptr) std::copy(status.begin(), status.end(), out.status);
  return detail::summary(status, assign_kernel::host);
}

}  // namespace flash_kmeans::host
