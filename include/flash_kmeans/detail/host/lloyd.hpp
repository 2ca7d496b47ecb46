// An update, the loop of a fit around it, and several fits of which the best is kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "../../types.hpp"
#include "../balance.hpp"
#include "abi.hpp"
#include "assign.hpp"
#include "balance.hpp"
#include "distance.hpp"
#include "empty.hpp"
#include "points.hpp"
#include "record.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "seed.hpp"
#include "sort.hpp"
#include "team.hpp"
#include "update.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// One update of a problem, index, crowded and empty clusters included. Returns the sum of the squared
// distances that its centroids moved; s.moved_centroids is how many were moved because of size_ratio, of
// which 0 is none.
template <class P, class C>
double update_problem(team& workers, scratch<C>& s, matrix_view<P> const& x,
                      std::int32_t const* labels, matrix_view<C> const& c,
                      point_facts<C> const& facts, empty_cluster policy = empty_cluster::keep,
                      double size_ratio = 0, std::int64_t updates = 0) {
  std::int32_t const* const counted = counted_labels(facts, labels, x.rows, s.labels);
  sort_points(workers, s, counted, x.rows, c.rows);
  std::int32_t const* const sorted =
      balance_clusters(workers, s, counted, x.rows, c.rows, facts, size_ratio, updates);
  if (policy == empty_cluster::split_largest) {
    largest_clusters<C> const largest(s, c, facts);
    move_centroids(workers, s, x, c, facts);
    largest.apply(s, c, facts.by);
  } else {
    if (policy == empty_cluster::farthest_point) {
      move_farthest_points(workers, s, x, counted, sorted, c, facts);
    }
    move_centroids(workers, s, x, c, facts);
  }
  return sum_in_order(s.shifts);
}

// One whole fit of all problems.
template <class P, class C>
struct fit_job {
  matrix_view<P> x;
  matrix_view<C> centroids;
  std::int32_t* labels;  // [b][n]
  fit_options const& options;
  std::uint64_t seed;
  vector<point_facts<C>> const& facts;  // [b]
  vector<double> const& bounds;         // [b], the shift with which a problem has converged
  iteration_record* records;            // [b][options.max_iterations] or null
};

// Returns how each problem ended. goes_on: becomes false where the caller wants no more.
template <class P, class C>
vector<fit_status> run_fit(team& workers, scratch<C>& shared, fit_job<P, C> const& job,
                           bool& goes_on) {
  fit_options const& options = job.options;
  std::int64_t const b = job.x.batch_count(), n = job.x.rows;
  double const size_ratio = binding_ratio(options.max_size_ratio, job.centroids.rows);
  double const cost = assignment_cost(job.x, job.centroids);
  vector<fit_status> status(static_cast<std::size_t>(b), fit_status{});
  vector<std::int64_t> running(status.size());  // problems that have not converged
  auto at = [](auto& values, std::int64_t i) -> auto& {
    return values[static_cast<std::size_t>(i)];
  };

  for_each_problem(workers, shared, b, seeding_cost(job.x, job.centroids, options),
                   [&](team& t, scratch<C>& s, std::int64_t i) {
                     matrix_view<C> const c = problem(job.centroids, i);
                     draw_centroids(t, s, problem(job.x, i), c, options.first_problem + i, options,
                                    job.seed, at(job.facts, i));
                     if (options.metric == metric::cosine) {
                       for (std::int64_t j = 0; j < c.rows; ++j) scale_to_unit(row(c, j), c.cols);
                     }
                     at(status, i).non_finite =
                         static_cast<std::int64_t>(at(job.facts, i).left_out.size());
                     at(running, i) = i;
                   });

  vector<std::int32_t> previous;  // [b][n] labels, for the records
  if (job.records != nullptr) previous.assign(static_cast<std::size_t>(b * n), -1);
  for (int iteration = 1; goes_on && iteration <= options.max_iterations && !running.empty();
       ++iteration) {
    for_each_problem(
        workers, shared, static_cast<std::int64_t>(running.size()), cost,
        [&](team& t, scratch<C>& s, std::int64_t r) {
          std::int64_t const i = at(running, r);
          auto const x = problem(job.x, i);
          auto const c = problem(job.centroids, i);
          std::int32_t* const labels = job.labels + i * n;
          iteration_record record{};
          double const inertia =
              assign_points<P, C>(t, s, x, c, options.metric, weights_of<C>(options.weights, i, n),
                                  labels, nullptr, job.records != nullptr);
          if (job.records != nullptr) {
            record = count_changes(s, at(job.facts, i), labels, previous.data() + i * n, n, c.rows);
          }
          fit_status& own = at(status, i);
          own.shift = update_problem(t, s, x, labels, c, at(job.facts, i), options.empty_cluster,
                                     size_ratio, own.iterations);
          own.iterations = iteration;
          own.converged = s.moved_centroids == 0 && own.shift <= at(job.bounds, i) ? 1 : 0;
          if (job.records == nullptr) return;
          record.inertia = inertia;
          record.shift = own.shift;
          job.records[i * options.max_iterations + iteration - 1] = record;
        });
    double shift = 0;
    for (std::int64_t const i : running) shift += at(status, i).shift;
    running.erase(std::remove_if(running.begin(), running.end(),
                                 [&](std::int64_t i) { return at(status, i).converged != 0; }),
                  running.end());
    if (options.progress) goes_on = options.progress(iteration, shift);
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

// options.n_init fits, of which each problem keeps the one with the lowest inertia, the first of
// equals.
template <class P, class C>
vector<fit_status> run_best_fit(team& workers, scratch<C>& shared, fit_job<P, C> job) {
  bool goes_on = true;
  vector<fit_status> best = run_fit(workers, shared, job, goes_on);
  if (job.options.n_init == 1) return best;
  std::int64_t const b = job.x.batch_count(), n = job.x.rows;
  std::int64_t const k = job.centroids.rows, d = job.centroids.cols;
  vector<C> memory(static_cast<std::size_t>(b * k * d));
  vector<std::int32_t> labels(static_cast<std::size_t>(b * n));
  fit_job<P, C> other = job;
  other.centroids = {
      memory.data(), k, d, d, job.centroids.batch, {job.centroids.batch[1] * k * d, k * d}};
  other.labels = labels.data();
  for (int run = 1; goes_on && run < job.options.n_init; ++run) {
    other.seed = job.seed + static_cast<std::uint64_t>(run);
    vector<fit_status> const status = run_fit(workers, shared, other, goes_on);
    for (std::int64_t i = 0; i < b; ++i) {
      auto const at = static_cast<std::size_t>(i);
      bool const better = status[at].inertia < best[at].inertia ||
                          (std::isnan(best[at].inertia) && !std::isnan(status[at].inertia));
      if (!better) continue;
      best[at] = status[at];
      std::copy_n(other.labels + i * n, n, job.labels + i * n);
      matrix_view<C> const from = problem(other.centroids, i), to = problem(job.centroids, i);
      for (std::int64_t j = 0; j < k; ++j) std::copy_n(row(from, j), d, row(to, j));
    }
  }
  return best;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
