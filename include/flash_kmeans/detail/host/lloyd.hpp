// The loop of a fit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "../../types.hpp"
#include "assign.hpp"
#include "empty.hpp"
#include "init.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "team.hpp"

namespace flash_kmeans::detail::cpu {

// One whole fit of all problems.
template <class P, class C>
struct fit_job {
  matrix_view<P> x;
  matrix_view<C> centroids;
  std::int32_t* labels;  // [b][n]
  fit_options const& options;
  std::uint64_t seed;
  std::vector<point_facts<C>> const& facts;  // [b]
  std::vector<double> const& bounds;         // [b], the shift with which a problem has converged
  std::function<void(int iteration, double shift)> const& progress;
};

// The first centroids of problem number i.
template <class P, class C>
void start_problem(fit_job<P, C> const& job, std::int64_t i) {
  matrix_view<C> const c = problem(job.centroids, i);
  if (job.options.init == init_method::random) {
    draw_centroids(problem(job.x, i), c, i, job.seed);
  }
  if (job.options.metric != metric::cosine) return;
  for (std::int64_t j = 0; j < c.rows; ++j) scale_to_unit(row(c, j), c.cols);
}

// Returns how each problem ended.
template <class P, class C>
std::vector<fit_status> run_fit(team& workers, scratch<C>& shared, fit_job<P, C> const& job) {
  fit_options const& options = job.options;
  std::int64_t const b = job.x.batch_count(), n = job.x.rows;
  double const cost = assignment_cost(job.x, job.centroids);
  std::vector<fit_status> status(static_cast<std::size_t>(b), fit_status{});
  std::vector<std::int64_t> running(status.size());  // problems that have not converged
  auto at = [](auto& values, std::int64_t i) -> auto& {
    return values[static_cast<std::size_t>(i)];
  };

  for_each_problem(workers, shared, b, static_cast<double>(n) * static_cast<double>(job.x.cols),
                   [&](team&, scratch<C>&, std::int64_t i) {
                     start_problem(job, i);
                     at(status, i).non_finite =
                         static_cast<std::int64_t>(at(job.facts, i).left_out.size());
                     at(running, i) = i;
                   });

  for (int iteration = 1; iteration <= options.max_iterations && !running.empty(); ++iteration) {
    for_each_problem(
        workers, shared, static_cast<std::int64_t>(running.size()), cost,
        [&](team& t, scratch<C>& s, std::int64_t r) {
          std::int64_t const i = at(running, r);
          auto const x = problem(job.x, i);
          auto const c = problem(job.centroids, i);
          std::int32_t* const labels = job.labels + i * n;
          assign_points<P, C>(t, s, x, c, options.metric, nullptr, labels, nullptr, false);
          fit_status& own = at(status, i);
          own.shift = update_problem(t, s, x, labels, c, at(job.facts, i), options.empty_cluster);
          own.iterations = iteration;
          own.converged = own.shift <= at(job.bounds, i) ? 1 : 0;
        });
    double shift = 0;
    for (std::int64_t const i : running) shift += at(status, i).shift;
    running.erase(std::remove_if(running.begin(), running.end(),
                                 [&](std::int64_t i) { return at(status, i).converged != 0; }),
                  running.end());
    if (job.progress) job.progress(iteration, shift);
  }

  if (!options.closing_assignment) {
    for (fit_status& own : status) own.inertia = std::numeric_limits<double>::quiet_NaN();
    return status;
  }
  for_each_problem(workers, shared, b, cost, [&](team& t, scratch<C>& s, std::int64_t i) {
    at(status, i).inertia = assign_points<P, C>(
        t, s, problem(job.x, i), problem(job.centroids, i), options.metric,
        weights_of<C>(options.weights, i, n), job.labels + i * n, nullptr, true);
  });
  return status;
}

}  // namespace flash_kmeans::detail::cpu
